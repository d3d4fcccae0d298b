"""The former name of `rustorium.zk.ceremony`."""

from rustorium.zk.ceremony import *  # noqa: F403
