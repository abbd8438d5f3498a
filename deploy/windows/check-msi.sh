#!/bin/bash
# Installs the Windows Installer package under Wine, upgrades it, uninstalls it, and looks after each step at what is there.
# Uses a Windows of its own, so that it neither finds nor leaves anything.
#
#   deploy/windows/check-msi.sh PROGRAM.exe WINE-RUN
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exe=$1
run=$2
work=$(mktemp -d)
export WINEPREFIX=$work/prefix
finish() {
    "$run" --stop 2>/dev/null || true
    # Wine's server writes its files a moment longer.
    rm -rf "$work" 2>/dev/null || { sleep 2; rm -rf "$work"; }
}
trap finish EXIT

die() { printf 'check-msi: %s\n' "$*" >&2; exit 1; }
exists() { [ -e "$1" ] || die "missing: $1"; }
gone() { [ ! -e "$1" ] || die "still there: $1"; }

windows=$WINEPREFIX/drive_c
program="$windows/Program Files/afterbackup"
data=$windows/ProgramData/afterbackup
services='HKLM\SYSTEM\CurrentControlSet\Services'
machine='HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'

value() { # KEY NAME: a value of the registry; empty when it is not there
    "$run" reg query "$1" /v "$2" 2>/dev/null | tr -d '\r' | sed -n "s/^ *$2 *REG_[A-Z_]* *//Ip" || true
}
is() { # KEY NAME VALUE
    local found
    found=$(value "$1" "$2")
    [ "$found" = "$3" ] || die "$1, $2 is '$found' and not '$3'"
}
on_path() { value "$machine" PATH | tr ';' '\n' | grep -cF 'C:\Program Files\afterbackup' || true; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -n 1)
newer=${version%.*}.$((${version##*.} + 1))
"$here/msi.sh" "$exe" "$work/first.msi"
# A byte behind its end does not harm a program, and shows whether it was replaced.
cp "$exe" "$work/second.exe"
printf x >>"$work/second.exe"
"$here/msi.sh" "$work/second.exe" "$work/second.msi" "$newer"
msiinfo export "$work/first.msi" MsiLockPermissionsEx | grep -F 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)' >/dev/null ||
    die "the package does not lock the data folder"

echo "install $version"
"$run" "$work/first.msi" /qn
cmp "$exe" "$program/afterbackup.exe"
exists "$data"
gone "$data/afterbackup.toml"
is "$services\\afterbackup" ImagePath 'C:\Program Files\afterbackup\afterbackup.exe service run'
is "$services\\afterbackup" ObjectName LocalSystem
is "$services\\afterbackup" Start 0x3
is "$services\\EventLog\\Application\\afterbackup" EventMessageFile 'C:\Program Files\afterbackup\afterbackup.exe'
"$run" sc query afterbackup | grep -w STOPPED >/dev/null || die "the service runs without a configuration"
[ "$(on_path)" = 1 ] || die "not on PATH once, but $(on_path) times"

echo "init on a site server"
sms='HKLM\SOFTWARE\Microsoft\SMS'
"$run" reg add "$sms\\Setup" /v 'Installation Directory' /d 'C:\Configuration Manager' /f >/dev/null
"$run" reg add "$sms\\Identification" /v 'Site Code' /d P01 /f >/dev/null
mkdir -p "$windows/Configuration Manager/Inboxes/smsbkup.box"
"$run" "$program/afterbackup.exe" init --snapshot 'E:\ConfigMgr_Backup' --to '\\backup01\configmgr$' --bat
for line in "path = 'E:\\ConfigMgr_Backup'" "log = 'C:\\Configuration Manager\\Logs\\smsbkup.log'" 'site = "P01"' \
    "path = '\\\\backup01\\configmgr\$'"; do
    grep -xF "$line" "$data/afterbackup.toml" >/dev/null || die "init did not write: $line"
done
grep -F '"C:\Program Files\afterbackup\afterbackup.exe" --config "C:\ProgramData\afterbackup\afterbackup.toml" run' \
    "$windows/Configuration Manager/Inboxes/smsbkup.box/AfterBackup.bat" >/dev/null || die "init wrote no AfterBackup.bat"

echo "upgrade to $newer"
"$run" reg add "$services\\afterbackup" /v ObjectName /d 'CONTOSO\gmsa$' /f >/dev/null # what an administrator changed
cp "$data/afterbackup.toml" "$work/kept.toml"
"$run" "$work/second.msi" /qn
cmp "$work/second.exe" "$program/afterbackup.exe"
cmp "$work/kept.toml" "$data/afterbackup.toml"
is "$services\\afterbackup" ObjectName 'CONTOSO\gmsa$'
[ "$(on_path)" = 1 ] || die "not on PATH once, but $(on_path) times"

echo "uninstall"
"$run" msiexec /x "$(WINEDEBUG=-all winepath -w "$work/second.msi")" /qn
gone "$program"
cmp "$work/kept.toml" "$data/afterbackup.toml"
is "$services\\afterbackup" ImagePath ''
is "$services\\EventLog\\Application\\afterbackup" EventMessageFile ''
[ "$(on_path)" = 0 ] || die "still on PATH"

# Not after the upgrade: there, Wine's removal of the old product takes the new one's upgrade code with it.
echo "refuse $version over $newer"
"$run" "$work/second.msi" /qn
if "$run" "$work/first.msi" /qn; then
    die "an older version was installed over a newer one"
fi
cmp "$work/second.exe" "$program/afterbackup.exe"

echo "init where no installer made the folder"
rm -r "$data"
"$run" "$program/afterbackup.exe" init --snapshot 'E:\ConfigMgr_Backup'
# Wine shows the access list as permissions: there must be none for others.
case $(stat -c %A "$data") in
    *---) ;;
    *) die "everybody may look into $data: $(stat -c %A "$data")" ;;
esac
