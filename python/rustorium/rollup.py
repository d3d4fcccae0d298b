"""The former name of `rustorium.zk.rollup`."""

from rustorium.zk.rollup import *  # noqa: F403
