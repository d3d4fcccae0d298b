"""The former name of `rustorium.zk.blockproofs`."""

from rustorium.zk.blockproofs import *  # noqa: F403
