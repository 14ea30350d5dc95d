"""The fixtures of the namespace tests serve here too."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "netns"))

from netns_fixtures import *  # noqa: E402,F401,F403
