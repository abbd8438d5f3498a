#!/bin/bash
# A real distributed S3 service on 127.0.0.1 to test buckets with: Ceph with one monitor, one manager, three object
# stores that each hold a copy of everything, and one gateway. All data live in memory.
#
#   apt-get install -y --no-install-recommends ceph-mon ceph-osd ceph-mgr radosgw
#   tests/ceph.sh up      starts it, in about 20 seconds, and prints the environment that the tests want
#   tests/ceph.sh down    ends it
#   tests/ceph.sh test    starts it, runs the tests that need it, ends it
#
# DIR is a folder for its files (/tmp/afterbackup-ceph), PORT that of the gateway (7480), STORES how many (3).
# To lose a store, kill the process in $DIR/osd.N.pid.
set -euo pipefail

dir=${DIR:-/tmp/afterbackup-ceph}
port=${PORT:-7480}
stores=${STORES:-3}
access_key=TESTACCESSKEY0000001
secret_key=testsecretkey0000000000000000000000000001
log=$dir/log/start.log

# The daemons remove their pid files before they end, so the pids are read first and then waited for.
down() {
    local pids=() pid file
    for file in "$dir"/*.pid; do
        if [ -s "$file" ]; then pids+=("$(cat "$file")"); fi
    done
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for _ in {1..20}; do
            kill -0 "$pid" 2>/dev/null || continue 2
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}

configure() {
    mkdir -p "$dir"/{mon,mgr,log,rgw}
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $1
mon_host = $2
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = $stores
osd_pool_default_min_size = $((stores > 1 ? 2 : 1))
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
mon_data_avail_warn = 1
log_file = $dir/log/\$name.log
run_dir = $dir
admin_socket = $dir/\$name.asok
pid_file = $dir/\$name.pid
[mon]
mon_data = $dir/mon
[mgr]
mgr_data = $dir/mgr
mgr_initial_modules =
[osd]
osd_data = $dir/osd\$id
osd_objectstore = memstore
memstore_device_bytes = 4294967296
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_data = $dir/rgw
rgw_dynamic_resharding = false
ms_mon_client_mode = crc
CONF
}

up() {
    local id address uuid n code=
    [ ! -e "$dir/ceph.conf" ] || down
    id=$(cat /proc/sys/kernel/random/uuid)
    # The default ports of a monitor: other Ceph clusters on this host would be in the way.
    address='[v2:127.0.0.1:3300,v1:127.0.0.1:6789]'
    configure "$id" "$address"
    {
        local here=(-c "$dir/ceph.conf" --no-mon-config)
        monmaptool --create --addv a "$address" --fsid "$id" "$dir/monmap"
        ceph-mon "${here[@]}" -i a --mkfs --monmap "$dir/monmap"
        ceph-mon "${here[@]}" -i a
        ceph-mgr "${here[@]}" -i x || true
        for ((n = 0; n < stores; n++)); do
            mkdir -p "$dir/osd$n"
            uuid=$(cat /proc/sys/kernel/random/uuid)
            ceph -c "$dir/ceph.conf" osd new "$uuid" "$n"
            ceph-osd "${here[@]}" -i "$n" --mkfs --osd-uuid "$uuid"
            ceph-osd "${here[@]}" -i "$n"
            ceph -c "$dir/ceph.conf" osd crush add "osd.$n" 1.0 root=default "host=h$n" || true
        done
        radosgw -c "$dir/ceph.conf" -n client.rgw
    } >>"$log" 2>&1
    for _ in {1..240}; do
        code=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/" || true)
        [ "$code" != 200 ] || break
        sleep 0.25
    done
    if [ "$code" != 200 ]; then
        echo "the gateway does not answer; see $dir/log" >&2
        exit 1
    fi
    radosgw-admin -c "$dir/ceph.conf" -n client.rgw user create --uid afterbackup --display-name afterbackup \
        --access-key "$access_key" --secret-key "$secret_key" >>"$log" 2>&1
}

environment() {
    echo "export AFTERBACKUP_TEST_S3_ENDPOINT=http://127.0.0.1:$port"
    echo "export AFTERBACKUP_TEST_S3_ACCESS_KEY=$access_key"
    echo "export AFTERBACKUP_TEST_S3_SECRET_KEY=$secret_key"
}

case ${1:-} in
up)
    up
    environment
    ;;
down) down ;;
test)
    trap down EXIT
    up
    eval "$(environment)"
    cd "$(dirname "$0")/.."
    cargo test --test it ceph_ -- --ignored --test-threads 2
    ;;
*)
    echo "usage: $0 up|down|test" >&2
    exit 2
    ;;
esac
