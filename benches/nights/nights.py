#!/usr/bin/env python3
"""Stores a synthetic site's nights with afterbackup and with programs that deduplicate, and compares what they add.

    benches/nights/nights.py --program target/release/afterbackup --nights 30 --pages 131072 --churn 5

The database is made up: pages of 8 KiB of rows in the manner of SQL Server, of which a share changes each night, half of them
spread evenly and half in clusters, and a log of which a quarter is new. Nothing here says what a real database does.
Every archive that retention leaves is fetched in the end and compared with what the snapshot was.
"""

import argparse
import datetime
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

PAGE = 8192
SITE = "XYZ"


def rows(rng, count):
    """Rows like those of an inventory: some fields repeat, some do not."""
    words = ("Microsoft Corporation", "Windows Server 2022", "Adobe Reader", "en-US", "CM01.example.org", "Client")
    out = bytearray()
    for _ in range(count):
        out += rng.choice(words).encode("utf-16-le")
        out += rng.randbytes(18)
        out += rng.randrange(1 << 20).to_bytes(4, "little")
    return out


class Database:
    """A data file and its log."""

    def __init__(self, folder, pages, log_bytes, churn, seed):
        self.data, self.log = folder / f"CM_{SITE}.mdf", folder / f"CM_{SITE}_log.ldf"
        self.pages, self.log_bytes, self.churn = pages, log_bytes, churn
        self.rng = random.Random(seed)
        with open(self.data, "wb") as file:
            for number in range(pages):
                file.write(self.page(number))
        with open(self.log, "wb") as file:
            file.write(self.log_part(log_bytes))

    def page(self, number):
        head = number.to_bytes(8, "little") + self.rng.randbytes(4) + bytes(84)
        body = rows(self.rng, 200)[: int(PAGE * self.rng.uniform(0.6, 0.98)) - 96]
        return (head + bytes(body)).ljust(PAGE, b"\0")

    def log_part(self, size):
        out = bytearray()
        while len(out) < size:
            out += rows(self.rng, 64)
        return bytes(out[:size])

    def night(self):
        """Changes a share of the pages, and a quarter of the log."""
        count = self.pages * self.churn // 100
        chosen = {self.rng.randrange(self.pages) for _ in range(count // 2)}
        while len(chosen) < count:
            start = self.rng.randrange(self.pages)
            chosen.update(range(start, min(start + 32, self.pages)))
        with open(self.data, "r+b") as file:
            for number in sorted(chosen):
                file.seek(number * PAGE)
                page = bytearray(file.read(PAGE))
                for _ in range(self.rng.randrange(1, 5)):
                    at = self.rng.randrange(96, PAGE // 2)
                    row = rows(self.rng, 1)
                    page[at : at + len(row)] = row
                page[8:12] = self.rng.randbytes(4)
                file.seek(number * PAGE)
                file.write(page[:PAGE])
        part = self.log_bytes // 4
        with open(self.log, "r+b") as file:
            file.seek(self.rng.randrange(4) * part)
            file.write(self.log_part(part))


def status_line(number, when):
    stamp = when.strftime("%m-%d-%Y %H:%M:%S.000")
    return (
        f'STATMSG: ID={number} SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=CM01 SITE={SITE} PID=1 TID=1 '
        f'GMTDATE={when.strftime("%a %b %d %H:%M:%S.000 %Y")} ISTR0="" NUMATTRS=0  '
        f"$$<SMS_SITE_BACKUP><{stamp}+000><thread=4844 (0x12EC)>\r\n"
    )


def tree_size(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


def sums(folder):
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class Site:
    def __init__(self, root, args):
        self.root, self.args = root, args
        self.snapshot = root / "snapshot" / f"{SITE}Backup"
        for folder in ("SiteDBServer", "SiteServer/SMSServer/inboxes", "CD.Latest/SMSSETUP"):
            (self.snapshot / folder).mkdir(parents=True)
        self.database = Database(self.snapshot / "SiteDBServer", args.pages, args.log << 20, args.churn, args.seed)
        rng = random.Random(args.seed + 1)
        for number in range(args.files):
            (self.snapshot / "CD.Latest/SMSSETUP" / f"{number:05}.bin").write_bytes(rng.randbytes(rng.randrange(2000, 40000)))
        old = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
        setup = self.snapshot / "CD.Latest"
        for path in (*setup.rglob("*"), setup):
            os.utime(path, (old, old))
        (self.snapshot / "BackupDocument.xml").write_text('<?xml version="1.0"?><WRITER_COMPONENTS/>')
        self.log = root / "smsbkup.log"

    def complete(self, night):
        end = datetime.datetime(2026, 1, 1, 23, 59, tzinfo=datetime.timezone.utc) + datetime.timedelta(days=night)
        (self.snapshot / "SiteServer/SMSServer/inboxes/night.txt").write_text(f"night {night}")
        before = (end - datetime.timedelta(minutes=10)).timestamp()
        for path in self.snapshot.rglob("*"):
            if "CD.Latest" not in path.parts:
                os.utime(path, (before, before))
        os.utime(self.snapshot, (before, before))
        with open(self.log, "a", encoding="ascii", newline="") as log:
            log.write(status_line(5055, end - datetime.timedelta(minutes=50)) + status_line(5035, end))
        return end.strftime(f"{SITE}-%Y%m%dT%H%M%SZ")


class Afterbackup:
    def __init__(self, site, program, name, section):
        self.name, self.program, self.vault = name, program, site.root / name / "vault"
        self.vault.mkdir(parents=True)
        self.config = site.root / name / "afterbackup.toml"
        self.config.write_text(
            f"lock-file = '{self.config}.lock'\n[snapshot]\npath = '{site.root}/snapshot'\nlog = '{site.log}'\nquiet = '0s'\n"
            f"{section}[[destination]]\nname = 'vault'\npath = '{self.vault}'\n"
        )

    def run(self, *arguments):
        command = [self.program, "--config", str(self.config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # The made-up database is not one of SQL Server, and the program says so with 6.
        if done.returncode not in (0, 6):
            sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def store(self, _night):
        self.run("run")

    def size(self):
        return tree_size(self.vault)

    def compare(self, kept, scratch):
        """Every archive that is still there gives the snapshot of its night."""
        ids = sorted(path.name.split(".")[0] for path in self.vault.rglob("*.json"))
        for one in ids:
            shutil.rmtree(scratch, ignore_errors=True)
            self.run("fetch", one, "--to", str(scratch))
            if sums(scratch / f"{SITE}Backup") != kept[one]:
                sys.exit(f"{self.name}: {one} is not what it was")
        shutil.rmtree(scratch, ignore_errors=True)
        return len(ids)


class Restic:
    def __init__(self, site, **_):
        self.name, self.site, self.repository = "restic", site, site.root / "restic"
        self.environment = dict(os.environ, RESTIC_PASSWORD="x", RESTIC_REPOSITORY=str(self.repository))
        self.call("init")

    def call(self, *arguments):
        subprocess.run(["restic", "-q", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def store(self, night):
        day = (datetime.datetime(2026, 1, 1) + datetime.timedelta(days=night)).strftime("%Y-%m-%d 23:59:00")
        self.call("backup", "--time", day, str(self.site.snapshot))

    def size(self):
        return tree_size(self.repository)


class Borg:
    def __init__(self, site, **_):
        self.name, self.site, self.repository = "borg", site, site.root / "borg"
        self.environment = dict(os.environ, BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes", BORG_BASE_DIR=str(site.root))
        self.call("init", "-e", "none", str(self.repository))

    def call(self, *arguments):
        subprocess.run(["borg", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def store(self, night):
        self.call("create", "-C", "zstd,3", f"{self.repository}::{night}", str(self.site.snapshot))

    def size(self):
        return tree_size(self.repository)


def chart(path, programs, history):
    """Stored bytes after each night, as an SVG."""
    width, height, left, bottom = 720, 360, 70, 40
    most = max(max(values) for values in history.values()) or 1
    nights = max(len(values) for values in history.values())
    colours = ("#1b6ca8", "#5aa9e6", "#b5523b", "#8a8d91", "#3c8d40")
    at = lambda night, value: (
        left + night * (width - left - 120) / max(nights - 1, 1),
        (height - bottom) - value * (height - bottom - 20) / most,
    )
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="{width}" height="{height}" fill="#ffffff"/>')
    for step in range(5):
        value = most * step / 4
        _, y = at(0, value)
        out.append(f'<line x1="{left}" x2="{width - 120}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value / 1e6:.0f} MB</text>')
    for program, colour in zip(programs, colours):
        values = history[program.name]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(night, value) for night, value in enumerate(values)))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = at(len(values) - 1, values[-1])
        out.append(f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="{colour}">{program.name}</text>')
    out.append(f'<text x="{left}" y="{height - 10}">nights, 1 to {nights}; stored bytes</text></svg>')
    pathlib.Path(path).write_text("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/afterbackup")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--pages", type=int, default=16384, help="pages of 8 KiB in the database")
    parser.add_argument("--log", type=int, default=8, help="MiB of its log")
    parser.add_argument("--files", type=int, default=300, help="small files that never change")
    parser.add_argument("--churn", type=int, default=5, help="percent of the pages that change in a night")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", required=True, help="an empty folder on the disk to measure")
    parser.add_argument("--chart", help="write an SVG here")
    args = parser.parse_args()
    root = pathlib.Path(args.scratch).resolve()
    site = Site(root, args)
    program = str(pathlib.Path(args.program).resolve())
    programs = [
        Afterbackup(site, program, "afterbackup", "[differential]\n"),
        Afterbackup(site, program, "afterbackup, previous", "[differential]\nnightly-on = 'previous'\n"),
        Afterbackup(site, program, "afterbackup, full", ""),
    ]
    programs += [peer(site) for peer, name in ((Restic, "restic"), (Borg, "borg")) if shutil.which(name)]
    added = {one.name: [] for one in programs}
    stored = {one.name: [] for one in programs}
    wall = {one.name: [] for one in programs}
    kept = {}
    for night in range(args.nights):
        if night:
            site.database.night()
        archive = site.complete(night)
        kept[archive] = sums(site.snapshot)
        # Whoever comes first reads the snapshot into the cache for the others: each is first in turn.
        order = programs[night % len(programs) :] + programs[: night % len(programs)]
        for one in order:
            before, begun = one.size(), time.monotonic()
            one.store(night)
            wall[one.name].append(time.monotonic() - begun)
            added[one.name].append(one.size() - before)
            stored[one.name].append(one.size())
        print(f"night {night + 1}: " + ", ".join(f"{n} {b[-1] / 1e6:.2f} MB" for n, b in added.items()), file=sys.stderr)
    for one in programs[:3]:
        print(f"{one.name}: {one.compare(kept, root / 'back')} archives are left, each as it was", file=sys.stderr)
    peers = [one.name for one in programs[3:]]
    best = min((stored[name][-1] for name in peers), default=None)
    median = lambda values: sorted(values)[len(values) // 2]
    print(f"\n{args.nights} nights of {tree_size(site.snapshot) / 1e6:.0f} MB (synthetic), {args.churn} % of the pages a night\n")
    print("| program | stored in all | of the best peer | second night adds | a later night, median | wall, median |")
    print("|---|---|---|---|---|---|")
    for one in programs:
        share = f"{stored[one.name][-1] / best:.2f}" if best else ""
        second = added[one.name][1] / 1e6 if args.nights > 1 else 0
        print(
            f"| {one.name} | {stored[one.name][-1] / 1e6:.1f} MB | {share} | {second:.2f} MB "
            f"| {median(added[one.name][1:] or [0]) / 1e6:.2f} MB | {median(wall[one.name][1:] or [0]):.2f} s |"
        )
    if args.chart:
        chart(args.chart, programs, stored)


if __name__ == "__main__":
    main()
