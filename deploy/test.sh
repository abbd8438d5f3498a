#!/bin/bash
# Runs every check of the project. A fresh Debian 12 machine with Rust is enough: as root, missing Debian packages are
# installed. Stops at the first step that fails, with its exit status, and says in the end how long each step took.
#
#   deploy/test.sh                 everything; what concerns Windows runs beside the other steps
#   deploy/test.sh lint tests      these steps alone, one after another
#   deploy/test.sh campaign        not part of everything, as it takes half an hour: kills programs at random moments, and
#                                  tries every interleaving of two pushes and every combination of recovery options
#
# CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER   runs Windows programs, where that target is installed already
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Two lanes, each of its steps one after another: neither needs what the other makes, one compiles for this machine in
# target/debug, the other in target/x86_64-pc-windows-gnu, and each waits now and then for one core or for a server.
first=(packages)
linux_lane=(format text scripts licences lint docs tests doc-tests quick-start ceph)
windows_lane=(windows msi)
last=(field results)
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
windows_tools=${AFTERBACKUP_WINDOWS_TOOLS:-../shared/windows}
field_cases=${AFTERBACKUP_FIELD_CASES:-../shared/field}
real_files=${AFTERBACKUP_SHARED:-../shared}
mount_tests=mounted_
[ "$(id -u)" = 0 ] || mount_tests=''
windows_target=x86_64-pc-windows-gnu
windows_program=target/$windows_target/release/stripped/afterbackup.exe

say() { printf '%s\n' "$*"; }
skips=()
skip() { # WHY: told at once, and again at the end
    skips+=("$current: $*")
    say "skipped: $*"
}
die() { say "error: $*" >&2; exit 1; }

work=$(mktemp -d)
times=()
current=''
lane=''
finish() {
    local status=$?
    # The other lane, with all that it has started.
    [ -z "$lane" ] || kill -- "-$lane" 2>/dev/null || true
    if [ -e "$work/ceph" ]; then
        DIR=$work/ceph tests/ceph.sh down || true
    fi
    [ -z "$lane" ] || { wait "$lane" 2>/dev/null || true; }
    [ ! -e "$work/lane.log" ] || { say; cat "$work/lane.log"; }
    rm -rf "$work"
    [ ${#times[@]} -eq 0 ] || printf '\n=== times, and what the processors worked\n%s\n' "$(printf '%s\n' "${times[@]}")"
    [ "$status" -eq 0 ] || say "FAILED: ${current:-start} (exit status $status)"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { # NAME: runs the function of that name, - being _
    local begin=$SECONDS
    current=$1
    times >"$work/before"
    printf '\n=== %s\n' "$1"
    "step_${1//-/_}"
    times >"$work/after"
    times+=("$(printf '%5d s  %5d s  %s' $((SECONDS - begin)) "$(worked)" "$1")")
}

# What the commands that were waited for between the two took, in seconds of processors.
worked() {
    tail -qn 1 "$work/before" "$work/after" | tr 'ms' '  ' |
        awk '{ seconds = $1 * 60 + $2 + $3 * 60 + $4 - seconds } END { printf "%d", seconds }'
}

# --- what the tests need -----------------------------------------------------

step_packages() {
    local wanted=(age ceph-mgr ceph-mon ceph-osd codespell faketime gcc jq libarchive-tools libc6-dev p7zip-full
        python3 radosgw shellcheck time xdelta3 zstd)
    local package missing=()
    for package in "${wanted[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "all there"
        return
    fi
    [ "$(id -u)" = 0 ] || die "run this as root, or install: ${missing[*]}"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Another process may be at work, on machines that update themselves for one.
    local patience=(-o DPkg::Lock::Timeout=600)
    apt-get -qq "${patience[@]}" update
    apt-get -qq "${patience[@]}" -y --no-install-recommends install "${missing[@]}" >"$work/apt.log" 2>&1 ||
        { cat "$work/apt.log"; die "apt-get install failed"; }
}

# --- Rust --------------------------------------------------------------------

step_format() {
    if ! cargo fmt --version >/dev/null 2>&1; then
        skip "rustfmt is not installed"
        return
    fi
    cargo fmt --check
}

step_lint() {
    if ! cargo clippy --version >/dev/null 2>&1; then
        skip "clippy is not installed"
        return
    fi
    cargo clippy --locked --all-targets -- -D warnings
}

step_docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
}

# Runs tests and keeps the closing lines for `results`.
nextest() { # NAME PROFILE [OPTION]...
    local name=$1 profile=$2
    shift 2
    cargo nextest run --locked --profile "$profile" "$@" 2>&1 | tee "$work/$name.log"
    grep -E '^ *Summary \[' "$work/$name.log" | tail -n 1 >"$work/$name.summary"
}

has_nextest() { cargo nextest --version >/dev/null 2>&1; }

step_tests() {
    if has_nextest; then
        nextest tests ci
    else
        cargo test --locked --lib --bins --tests 2>&1 | tee "$work/tests.log"
        grep -E '^test result: ' "$work/tests.log" >"$work/tests.summary"
    fi
    ignored_tests tools interop:: ${mount_tests:+"$mount_tests"}
    if [ -d "$real_files/mdf/real" ] && [ -d "$real_files/samples" ]; then
        AFTERBACKUP_SHARED=$(realpath "$real_files") ignored_tests real of_real_servers
    else
        skip "no files of real servers in $real_files"
    fi
}

# Tests that need what not every machine has: they are ignored, so that nobody takes them for passed, and run here.
ignored_tests() { # NAME PART-OF-A-NAME...
    local name=$1 part filter=''
    shift
    if has_nextest; then
        for part in "$@"; do
            filter+="${filter:+ + }test($part)"
        done
        nextest "$name" ci --run-ignored only -E "$filter"
    else
        cargo test --locked --lib --tests -- --ignored "$@" 2>&1 | tee "$work/$name.log"
        grep -E '^test result: ' "$work/$name.log" >"$work/$name.summary"
    fi
}

step_doc_tests() {
    cargo test --locked --doc
}

# What takes long. Programs that are killed at random moments: how many of them hit is a matter of luck, so that only
# what is left behind is judged; stop.rs kills at every named point, in the step tests.
step_campaign() {
    cargo test --locked --test it -- --ignored --nocapture kill::
    cargo test --locked --lib -- --ignored --nocapture interleavings:: full_product
}

# The tests that want a real, distributed S3 service.
step_ceph() {
    local settings
    if [ ! -x tests/ceph.sh ]; then
        skip "no tests/ceph.sh"
        return
    fi
    settings=$(DIR=$work/ceph tests/ceph.sh up)
    (
        eval "$settings"
        if has_nextest; then
            nextest ceph ci --run-ignored only -E 'test(ceph_)'
        else
            cargo test --locked --test it ceph_ -- --ignored
        fi
    )
    DIR=$work/ceph tests/ceph.sh down
    rm -rf "$work/ceph"
}

# --- the rest ----------------------------------------------------------------

# Misspelt words (those of the domain that look like one are in .config/words), and comments that are too wide.
step_text() {
    local texts=()
    mapfile -t texts < <(find ./*.md Cargo.toml .ci .config benches config deploy docs src tests -type f -regextype egrep \
        -regex '.*\.(md|rs|sh|toml)|.ci/run' -not -path '*/target/*' | sort)
    codespell --ignore-words .config/words "${texts[@]}"
    deploy/wrap-comments.py --check
    say "${#texts[@]} files"
}

step_scripts() {
    local scripts=(.ci/run)
    mapfile -t -O 1 scripts < <(find deploy tests -name '*.sh' | sort)
    shellcheck "${scripts[@]}"
    say "${#scripts[@]} scripts"
}

# Every package must offer a licence of the list in .config/deny.toml. cargo-deny looks at more, where it is installed.
step_licences() {
    local checks=(licenses bans sources)
    if cargo deny --version >/dev/null 2>&1; then
        # Without its database, which it would fetch, it knows no advisories.
        if compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-db*/*" >/dev/null; then
            checks+=(advisories)
        else
            skip "advisories: there is no database of them here"
        fi
        cargo deny --locked --offline check --config .config/deny.toml "${checks[@]}"
        return
    fi
    sed -n '/^allow = \[/,/^\]/s/^ *"\(.*\)",.*/\1/p' .config/deny.toml >"$work/allowed"
    [ -s "$work/allowed" ] || die "no licences in .config/deny.toml"
    cargo metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu \
        --filter-platform "$windows_target" >"$work/metadata.json"
    jq --raw-output --rawfile allowed "$work/allowed" '
        ($allowed | split("\n")) as $allowed
        | .packages[]
        | select(
            (.license // "none") | gsub("[()]"; "") | gsub("/"; " OR ") | split(" AND ")
            | all(split(" OR ") | any(gsub("^ +| +$"; "") | IN($allowed[]))) | not)
        | "\(.name) \(.version): \(.license)"' "$work/metadata.json" >"$work/refused"
    if [ -s "$work/refused" ]; then
        cat "$work/refused"
        die "licences that are not in .config/deny.toml"
    fi
    say "$(jq '.packages | length' "$work/metadata.json") packages"
}

# The first command of docs/development.md, with the build that the tests have left.
step_quick_start() {
    if [ ! -e config/sample.toml ]; then
        skip "no config/sample.toml"
        return
    fi
    PROFILE=dev deploy/quick-start.sh
}

# What others have met, rebuilt: each case runs the program and looks at what came out.
step_field() {
    if [ ! -x "$field_cases/run" ]; then
        skip "no $field_cases"
        return
    fi
    AB=$PWD/target/debug/afterbackup "$field_cases/run" >"$work/field.log" || {
        grep -v '^ok ' "$work/field.log"
        die "cases from the field are not right"
    }
    tail -n 1 "$work/field.log" | tee "$work/field.summary"
}

# The release build that users get, and the tests with that program, under Wine. The tests themselves are built without
# optimising the whole program at once, which took longer than all of them.
step_windows() {
    local libraries runner program=$windows_program
    libraries=$(rustc --print target-libdir --target "$windows_target")
    runner=${CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER:-}
    if [ -x "$windows_tools/setup.sh" ] && [ "$(id -u)" = 0 ]; then
        "$windows_tools/setup.sh"
        AFTERBACKUP_WINE_RUN=$(realpath "$windows_tools/wine-run")
        export AFTERBACKUP_WINE_RUN
        runner=$PWD/deploy/windows/wine.sh
    elif [ ! -d "$libraries" ] || [ -z "$runner" ]; then
        skip "needs the target $windows_target and CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER"
        return
    fi
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$runner
    cargo build --locked --release --target "$windows_target"
    mkdir -p "$(dirname "$program")"
    deploy/symbols.sh "target/$windows_target/release/afterbackup.exe" "$program"
    windows_imports "$program"
    windows_resources "$program"
    ! grep -q 'a point is NAME#N' "$program" || die "$program can be stopped at the points of tests"
    "$runner" "$program" --version
    # As Wine names it.
    program=Z:$PWD/$program
    export AFTERBACKUP_TEST_PROGRAM=${program//\//\\}
    windows_tests
    "$runner" --stop 2>/dev/null || true
}

# What deploy/windows/build.rs puts into the program.
windows_resources() { # PROGRAM
    local version
    version=$(cargo metadata --locked --no-deps --format-version 1 | jq --raw-output '.packages[0].version')
    7z x -so "$1" .rsrc/version.txt | tr -d '\000' | grep -E "\"ProductVersion\", *\"$version\"" >/dev/null ||
        die "$1 has no version resource for $version"
    7z x -so "$1" .rsrc/MANIFEST/1 | grep '<longPathAware .*>true<' >/dev/null || die "$1 has no manifest"
    7z x -so "$1" .rsrc/MESSAGETABLE/1 | tr -d '\000' | grep '%1' >/dev/null || die "$1 has no messages for the event log"
}

# The program needs nothing beside it: it loads only what every Windows has.
windows_imports() { # PROGRAM
    local own=(advapi32 bcrypt bcryptprimitives crypt32 iphlpapi kernel32 ktmw32 mpr msvcrt ntdll ole32 oleaut32 secur32
        shell32 user32 userenv ws2_32 'api-ms-win-[a-z0-9-]*')
    x86_64-w64-mingw32-objdump -p "$1" | sed -n 's/^\tDLL Name: //p' | sort -fu >"$work/imports"
    [ -s "$work/imports" ] || die "cannot tell what $1 loads"
    if grep -ivxE "($(IFS='|'; printf '%s' "${own[*]}"))\.dll" "$work/imports"; then
        die "$1 loads what is not part of Windows"
    fi
    say "loads $(tr '\n' ' ' <"$work/imports")"
}

# A folder of this machine is a share for them; .config/nextest.toml says what is left out, and why.
windows_tests() {
    local options=(--target "$windows_target" --lib --test it)
    # Nobody reads line numbers there, and the linker is slow.
    export CARGO_PROFILE_DEV_DEBUG=0
    mkdir "$work/share"
    export WINE_UNC="afterbackup/share\$=$work/share" AFTERBACKUP_TEST_SHARE='\\afterbackup\share$'
    if has_nextest; then
        nextest windows wine "${options[@]}"
    else
        cargo test --locked "${options[@]}" 2>&1 | tee "$work/windows.log"
        grep -E '^test result: ' "$work/windows.log" >"$work/windows.summary"
    fi
}

# The installer, made from the program that the step windows has left.
step_msi() {
    local program=$windows_program
    if [ ! -x "$windows_tools/wine-run" ] || ! command -v wixl msibuild >/dev/null || [ ! -e "$program" ]; then
        skip "needs Wine, wixl, msitools and the program that the step windows builds"
        return
    fi
    deploy/windows/check-msi.sh "$program" "$(realpath "$windows_tools/wine-run")"
}

# What was left out, and what the test runs said at their end, the ordinary suite last.
step_results() {
    local name
    [ ${#skips[@]} -eq 0 ] || printf 'SKIPPED %s\n' "${skips[@]}"
    for name in field ceph real tools windows tests; do
        [ ! -e "$work/$name.summary" ] || cat "$work/$name.summary"
    done
}

all=("${first[@]}" "${linux_lane[@]}" "${windows_lane[@]}" "${last[@]}" campaign)
for name in "$@"; do
    [ "$(type -t "step_${name//-/_}")" = function ] || die "no step $name; there are: ${all[*]}"
done
if [ $# -gt 0 ]; then
    for name in "$@"; do
        step "$name" </dev/null
    done
    current=''
    exit 0
fi

for name in "${first[@]}"; do
    step "$name" </dev/null
done
# In a process group of its own, so that it can be ended as a whole.
set -m
deploy/test.sh "${windows_lane[@]}" results >"$work/lane.log" 2>&1 </dev/null &
lane=$!
set +m
for name in "${linux_lane[@]}"; do
    step "$name" </dev/null
done
current="${windows_lane[*]}"
say "waiting for ${windows_lane[*]}"
status=0
wait "$lane" || status=$?
lane=''
[ "$status" -eq 0 ] || exit "$status"
say
cat "$work/lane.log"
rm "$work/lane.log"
current=''
for name in "${last[@]}"; do
    step "$name" </dev/null
done
