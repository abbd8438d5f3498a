#!/bin/bash
# Builds the Windows Installer package on Linux, with wixl and msibuild (Debian packages wixl and msitools).
#
#   deploy/windows/msi.sh target/x86_64-pc-windows-gnu/release/afterbackup.exe afterbackup.msi [VERSION]
#
# VERSION is that of Cargo.toml unless given.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || { echo "usage: msi.sh PROGRAM.exe PACKAGE.msi [VERSION]" >&2; exit 2; }
exe=$1
package=$2
version=${3:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -n 1)}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "msi.sh: '$version' is no version that Windows Installer can compare" >&2; exit 1; }

upgrade_code=$(sed -n 's/.*UpgradeCode="\([^"]*\)".*/\1/p' "$here/afterbackup.wxs")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
msi=$work/afterbackup.msi

# wixl takes no absolute path for the program.
cp "$exe" "$work/afterbackup.exe"
cp "$here/afterbackup.wxs" "$work"
(cd "$work" && wixl --arch x64 --define "Version=$version" --output "$msi" afterbackup.wxs)

table() { # NAME: reads the table in Windows Installer's text form, with spaces around | for tabs
    sed 's/ *| */\t/g; s/$/\r/' >"$work/$1.idt"
    msibuild "$msi" -i "$work/$1.idt"
}

query() { msibuild "$msi" -q "$1"; }

# The configuration names hooks that run as SYSTEM, and logs tell what is where: nobody but SYSTEM (SY) and administrators
# (BA) may read or write there, whatever %ProgramData% hands down (P). Only at first: an account that the service was
# given since keeps its rights.
table MsiLockPermissionsEx <<'TABLE'
MsiLockPermissionsEx | LockObject | Table | SDDLText | Condition
s72 | s72 | s32 | s0 | S255
MsiLockPermissionsEx | MsiLockPermissionsEx
Data | DATAFOLDER | CreateFolder | D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA) | NOT WIX_UPGRADE_DETECTED AND NOT Installed
TABLE

# = set it, - remove it on uninstall, * for the machine; [~] is what was there.
table Environment <<'TABLE'
Environment | Name | Value | Component_
s72 | l255 | L255 | s72
Environment | Environment
Path | =-*PATH | [~];[INSTALLFOLDER] | Program
TABLE
query "INSERT INTO InstallExecuteSequence (Action, Condition, Sequence) VALUES ('RemoveEnvironmentStrings', '', 3300)"
query "INSERT INTO InstallExecuteSequence (Action, Condition, Sequence) VALUES ('WriteEnvironmentStrings', '', 5200)"

# An upgrade installs over what is there and then removes the old product, of which nothing is left. The other order would
# delete the service in between, and with it the account and the start that the administrator gave it.
query "UPDATE InstallExecuteSequence SET Sequence = 6700 WHERE Action = 'RemoveExistingProducts'"
query "UPDATE InstallExecuteSequence SET Condition = 'VersionNT AND NOT SERVICESTART' WHERE Action = 'InstallServices'"
# Installing by double click asks the registry before it asks for the rights, and must hand the answer over.
query "UPDATE Property SET Value = 'WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;SERVICESTART' WHERE Property = 'SecureCustomProperties'"
query "UPDATE Component SET Condition = 'SERVICESTART = \"#2\"' WHERE Component = 'Restart'"
# So the program must be known to be newer than the one there. wixl takes it for a file without version; hashes are for those.
query "UPDATE File SET Version = '$version.0', Language = '1033' WHERE File = 'Exe'"
query "DROP TABLE MsiFileHash"
# A rebuild of the same version replaces it, too (512: up to and including this version; e: equal files are replaced).
query "DELETE FROM Upgrade WHERE ActionProperty = 'WIX_UPGRADE_DETECTED'"
query "INSERT INTO Upgrade (UpgradeCode, VersionMax, Attributes, ActionProperty)
    VALUES ('{$upgrade_code}', '$version', 513, 'WIX_UPGRADE_DETECTED')"
query "INSERT INTO Property (Property, Value) VALUES ('REINSTALLMODE', 'emus')"

mv "$msi" "$package"
echo "$package: afterbackup $version"
