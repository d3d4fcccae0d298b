"""`govern propose set-sponsor` and `assign-sponsor`: shares of the chain's work and history."""

from typing import Annotated

import typer

from rustorium.cli.govern import (
    DAY_S,
    Acting,
    AuthorityOption,
    DryRunOption,
    KeyOption,
    OpenOption,
    UnsignedOption,
)
from rustorium.cli.options import (
    GenesisOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    duration,
)
from rustorium.cli.output import Format, Output

SponsoredArgument = Annotated[str, typer.Argument(help="The account, such as rs1….")]
ShareOption = Annotated[
    float, typer.Option("--share", min=0.0001, max=100, help="Share of the chain's work and history, percent.")
]
HistoryShareOption = Annotated[
    float | None,
    typer.Option("--history-share", min=0.0001, max=100, help="Share of the chain's history, if another one, percent."),
]
EndOption = Annotated[
    float | None, duration("--for", text="Time after which what was before holds again, up to 90d. Default: no end.")
]


def set_sponsor(
    account: SponsoredArgument,
    share: ShareOption,
    history_share: HistoryShareOption = None,
    for_s: EndOption = None,
    key: KeyOption = None,
    unsigned: UnsignedOption = None,
    authority: AuthorityOption = None,
    dry_run: DryRunOption = False,
    open_s: OpenOption = DAY_S,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Propose other shares for an account's own sponsor, or a sponsor for an account that has none of its own."""
    from rustorium.net.governing import set_sponsor as change_of

    acting = Acting(key, passphrase_file, unsigned, authority, net, node, genesis, token_file, timeout_s)
    with acting.client() as client:
        answer = client.governance()
        change = change_of(answer, account, share, share if history_share is None else history_share, for_s)
        acting.propose(change, client, answer, open_s, dry_run=dry_run, output=output)


def assign_sponsor(
    account: SponsoredArgument,
    sponsor: Annotated[int, typer.Argument(min=0, help="The sponsor's number; 0 is the common one.")],
    key: KeyOption = None,
    unsigned: UnsignedOption = None,
    authority: AuthorityOption = None,
    dry_run: DryRunOption = False,
    open_s: OpenOption = DAY_S,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Propose that an account draws from another sponsor. `rustorium query` shows the number of one's sponsor."""
    acting = Acting(key, passphrase_file, unsigned, authority, net, node, genesis, token_file, timeout_s)
    change = {"type": "assign_sponsor", "account": account, "sponsor": sponsor}
    with acting.client() as client:
        acting.propose(change, client, client.governance(), open_s, dry_run=dry_run, output=output)


def add_to(propose: typer.Typer) -> None:
    """Adds the commands to those that propose a change."""
    propose.command("set-sponsor")(set_sponsor)
    propose.command("assign-sponsor")(assign_sponsor)
