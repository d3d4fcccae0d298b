"""The former name of `rustorium.zk.groth16`."""

from rustorium.zk.groth16 import *  # noqa: F403
