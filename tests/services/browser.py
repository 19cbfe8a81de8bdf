"""
A browser without a window, to look at the status page with: a Chrome or Chromium that is there, else that of the
distribution, unpacked and not installed, else the one that Playwright downloads.
"""

import os
import shutil
import sys
from pathlib import Path

from tests.services import downloads, places
from tests.services.addresses import VARIABLES
from tests.services.running import Command, Unavailable, run

_INSTALLED = ("google-chrome", "google-chrome-stable", "chromium-headless-shell")
_PACKAGES = ("chromium-headless-shell", "fonts-liberation")
_LIBRARIES = ("lib/*-linux-gnu", "usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/pulseaudio")
_RUN = """#!/bin/sh
# The libraries of the packages, and their fonts: nothing of them is installed.
export LD_LIBRARY_PATH='{libraries}' FONTCONFIG_FILE='{fonts}'
exec '{program}' "$@"
"""
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{root}/var/cache/fontconfig</cachedir>
<match target="pattern"><edit name="family" mode="append_last" binding="weak">
<string>Liberation Sans</string></edit></match>
</fontconfig>
"""
_ASK_PLAYWRIGHT = (
    "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
)


def chromium() -> Path:
    """A program that Playwright can be given as `executable_path`; Unavailable when there is none to be had."""
    given = os.environ.get(VARIABLES["chromium"])
    if given:
        return Path(given)
    for name in _INSTALLED:
        if path := shutil.which(name):
            return Path(path)
    try:
        return _unpacked()
    except Unavailable:  # Ubuntu has it as a snap only
        return _downloaded()


def _unpacked() -> Path:
    root = downloads.debian_root("chromium-shell", _PACKAGES).path
    program = next(root.glob("usr/lib/chromium/chromium-headless-shell"), None)
    if program is None:
        raise Unavailable(f"needs Chromium, and {_PACKAGES[0]} has not got it")

    def fill(new: Path) -> None:
        libraries = [path for pattern in _LIBRARIES for path in root.glob(pattern)]
        # glibc of the machine: that of the packages is of the same release, and its loader is not used
        (new / "fonts.conf").write_text(_FONTS.format(root=root))
        final = places.CACHE / f"{root.name}-run"
        text = _RUN.format(libraries=":".join(map(str, libraries)), fonts=final / "fonts.conf", program=program)
        (new / "chromium").write_text(text)
        (new / "chromium").chmod(0o755)

    return places.cached(f"{root.name}-run", fill) / "chromium"


def _downloaded() -> Path:
    downloads.announce("Chromium by Playwright")
    run(Command([sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]))
    return Path(run(Command([sys.executable, "-c", _ASK_PLAYWRIGHT])).strip())
