# Runs inside, as root, where PID 1 is systemd (see boot.sh): everything that the package and its
# units promise, with the package itself. /handed has old.deb, new.deb and the repository's files.
if [ "$(cat /proc/1/comm)" != systemd ] || [ "${container:-}" != attendant-test ]; then
    echo 'checks.sh is for boot.sh alone: it installs, kills and purges' >&2
    exit 2
fi
set -u
unit=attendant.service
state=/var/lib/attendant
passed=0 failed=0

# ---- what checks are made of

pass() { passed=$((passed + 1)); echo "ok    $1${2:+: $2}"; }
miss() { failed=$((failed + 1)); echo "FAIL  $1: $2"; }
# is NAME GOT WANTED; like NAME GOT PATTERN; done_ok NAME COMMAND…; ends NAME CODE COMMAND…
is() { if [ "$2" = "$3" ]; then pass "$1" "$2"; else miss "$1" "got '$2', want '$3'"; fi; }
like() { if [[ $2 == $3 ]]; then pass "$1" "$2"; else miss "$1" "got '$2', want '$3'"; fi; }
ends() {
    local name=$1 want=$2 said code=0
    shift 2
    said=$("$@" 2>&1) || code=$?
    if [ "$code" = "$want" ]; then pass "$name" "exit $code"; else miss "$name" "exit $code, want $want: $said"; fi
}
done_ok() { local name=$1; shift; ends "$name" 0 "$@"; }
# within SECONDS CONDITION: waits until it holds. The bound is for machines that are busy.
within() {
    local until=$((SECONDS + $1))
    while ! eval "$2" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}
comes() { if within 60 "$2"; then pass "$1"; else miss "$1" "not within 60 s: $2"; fi; }
prop() { systemctl show --property "$1" --value "${2:-$unit}"; }
active() { [ "$(prop ActiveState)" = active ]; }
# logged EVENT WORDS: whether the journal has such an event of the unit, with these words.
logged() {
    journalctl --sync
    journalctl --unit "$unit" --output cat --no-pager "ATTENDANT_EVENT=$1" | grep -q -- "$2"
}
# Starts are counted by systemd, and too many in too short a time refused: here there are many.
part() { echo; echo "-- $1 (after $SECONDS s)"; systemctl reset-failed; }
# json KEY: the value of the first field of this name, for what is printed on one line.
json() { grep -o "\"$1\":\(\"[^\"]*\"\|[^,}]*\)" | head -1 | sed 's/^"[^"]*"://; s/^"//; s/"$//'; }

# The simulated provider: a request to it, and how it is to behave.
sandbox() {
    local method=$1 path=$2 body=${3:-}
    exec 9<>/dev/tcp/127.0.0.1/7500
    printf '%s %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s' \
        "$method" "$path" "${#body}" "$body" >&9
    sed '1,/^\r$/d' <&9
    exec 9<&-
}
fault() { sandbox POST /_sandbox/faults "$1"; }
# How many orders it was given, of the one person that there is.
orders() { sandbox GET /_sandbox/state | grep -o '"orders":{[^}]*}' | tr -dc 0-9; }

ask() { attendant "$@"; }
order() {
    ask enqueue certn.application --account certn --key "$1" --arg industry=hr --arg report=pdf \
        --arg application=@/usr/share/doc/attendant/examples/application.json
}
state_of() { ask jobs show "$1" --json | json "$2"; }

# ---- 1. the package before this one

part 'installed: the package of the version before'
DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --install /handed/old.deb >/tmp/install.log 2>&1
is 'dpkg --install' "$?" 0
comes 'the service is active' active
is 'ready was told, by the main process' "$(prop SubState)/$(prop Type)/$(prop NotifyAccess)" running/notify/main
is 'enabled' "$(systemctl is-enabled attendant.socket attendant.service | tr '\n' ' ')" 'enabled enabled '
is 'its user' "$(stat -c %U /proc/"$(prop MainPID)")" attendant
is 'its state folder' "$(stat -c '%U %a' $state)" 'attendant 700'
is 'its socket' "$(stat -c '%U:%G %a' /run/attendant.sock)" 'attendant:attendant-clients 660'
is 'the folder of sinks' "$(stat -c '%U:%G %a' /run/attendant-sinks)" 'attendant:attendant 751'
comes 'a status is told' '[[ "$(prop StatusText)" == "0 accounts, 0 running, 0 waiting" ]]'
done_ok 'a client is answered' ask status
done_ok 'the units are well-formed' systemd-analyze verify --man=no attendant.service attendant.socket

# ---- 2. hardening

part 'hardening'
score=$(systemd-analyze security --no-pager $unit | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
echo "systemd-analyze security: exposure $score"
done_ok "exposure $score is at most 1.3" awk "BEGIN { exit !(0 < ${score:-9} && ${score:-9} <= 1.3) }"
status=$(cat /proc/"$(prop MainPID)"/status)
for line in 'NoNewPrivs:	1' 'Seccomp:	2' 'CapEff:	0000000000000000' 'CapBnd:	0000000000000000'; do
    if grep -qx "$line" <<<"$status"; then pass "/proc/PID/status has $line"; else miss "$line" 'is not so'; fi
done

# ---- 3. who may connect

part 'the socket, by user'
useradd --system --no-create-home stranger
useradd --system --no-create-home --groups attendant-clients member
ends 'a stranger does not reach it' 4 setpriv --reuid stranger --regid stranger --clear-groups /usr/bin/attendant jobs
ends 'a member of its group may do nothing by default' 4 setpriv --reuid member --regid member --init-groups /usr/bin/attendant jobs
done_ok "the daemon's own user may" setpriv --reuid attendant --regid attendant --init-groups /usr/bin/attendant jobs
done_ok 'root may' ask jobs

# ---- 4. credentials of both kinds, and the sealing key

part 'secrets through systemd'
cat >/etc/systemd/system/sandbox.service <<'END'
[Service]
ExecStart=/usr/bin/attendant sandbox --complete-after 3s
DynamicUser=yes
END
mkdir -p /etc/attendant/{secrets,jobs.d,conf.d} /etc/credstore.encrypted "/etc/systemd/system/$unit.d"
(umask 077; echo sandbox-client >/etc/attendant/secrets/certn-client-id)
systemd-creds setup >/dev/null 2>&1
seal() { systemd-creds encrypt --with-key=host --name="$1" - "/etc/credstore.encrypted/$1" 2>&1; }
echo sandbox-secret | seal certn-client-secret >/dev/null
is 'a secret is encrypted' "$?" 0
ask definitions show certn | sed 's/^\[jobs.applicant\]$/&\nevery = "200ms"/' >/etc/attendant/jobs.d/certn.toml
cat >/etc/attendant/attendant.toml <<'END'
[accounts.certn]
provider = "certn"
base_url = "http://127.0.0.1:7500"
limits   = []
secrets.client_id     = { credential = "certn-client-id" }
secrets.client_secret = { credential = "certn-client-secret" }

[[accounts.certn.sinks]]
credential = "access_token"
file       = "/run/attendant-sinks/certn.env"
mode       = "0640"
group      = "attendant"
template   = "CERTN_TOKEN={{ value }}\n"
on_change  = ["/usr/bin/touch", "/run/attendant-sinks/changed"]

[[accounts.certn.sinks]]
credential = "access_token"
file       = "/run/attendant-sinks/others/token"
mode       = "0640"
group      = "member"
END
# A folder of another group's, which hands the group on: no right to change groups is needed.
install -d -o attendant -g member -m 2750 /run/attendant-sinks/others
ends 'not there before a restart: the reload is refused' 1 systemctl reload $unit
comes 'and the log says why' 'logged daemon.reload_refused certn-client-id'
is 'the daemon goes on' "$(prop ActiveState)/$(prop SubState)" active/running
# The sealing key: the one that the daemon has made, from now on in systemd's keeping.
seal attendant.key <$state/attendant.key >/dev/null
is 'the sealing key is encrypted' "$?" 0
printf '[seal]\nkey = { credential = "attendant.key" }\n' >/etc/attendant/conf.d/seal.toml
systemctl stop $unit
mv $state/attendant.key /root/attendant.key
cp /usr/share/doc/attendant/examples/credentials.conf "/etc/systemd/system/$unit.d/"
# For this test alone: a part can be told to hang (see the watchdog below).
printf '[Service]\nEnvironment=ATTENDANT_HANG_AT=/run/attendant-hang\n' >"/etc/systemd/system/$unit.d/hang.conf"
systemctl daemon-reload
systemctl start sandbox.service
comes 'the simulated provider answers' '[ -n "$(sandbox GET /_sandbox/state)" ]'
done_ok 'started with both kinds of credentials' systemctl start $unit
token=$(ask token certn --timeout 60s 2>&1)
is 'a token was obtained with them' "$?" 0
is 'no key lies beside the database any more' "$(ls $state/attendant.key 2>&1 | grep -c 'No such')" 1

# ---- 5. sinks

part 'sinks'
sink=/run/attendant-sinks/certn.env
comes 'the file is there' "[ -s $sink ]"
is 'its owner and mode' "$(stat -c '%U:%G %a' $sink)" 'attendant:attendant 640'
ends 'who may only connect does not read it' 1 setpriv --reuid member --regid member --init-groups cat $sink
is 'it has the token' "$(cat $sink)" "CERTN_TOKEN=$token"
comes 'on_change has run' '[ -e /run/attendant-sinks/changed ]'
comes 'the file for another group is there' '[ -s /run/attendant-sinks/others/token ]'
is 'and has its group' "$(stat -c '%U:%G %a' /run/attendant-sinks/others/token)" 'attendant:member 640'
is 'its reader reads it' "$(setpriv --reuid member --regid member --clear-groups cat /run/attendant-sinks/others/token)" "$token"
cat >/etc/systemd/system/hr-sync.service <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecReload=/usr/bin/touch /run/hr-sync-reloaded
END
cp /usr/share/doc/attendant/examples/hr-sync-token.* /etc/systemd/system/
systemctl daemon-reload
systemctl start hr-sync.service hr-sync-token.path
done_ok 'renewed' ask credentials renew certn/access_token
comes 'the .path unit has its consumer reloaded' '[ -e /run/hr-sync-reloaded ]'
comes 'the file is replaced' "! grep -q '$token' $sink"

# ---- 6. reload

part 'reload'
pid=$(prop MainPID)
cat >/etc/attendant/conf.d/second.toml <<'END'
[accounts.second]
provider = "certn"
base_url = "http://127.0.0.1:7500"
default  = true
secrets.client_id     = { credential = "certn-client-id" }
secrets.client_secret = { credential = "certn-client-secret" }
END
done_ok 'a good configuration is taken on' systemctl reload $unit
done_ok 'at once: the new account answers' ask token second --timeout 60s
comes 'daemon.reloaded is logged' 'logged daemon.reloaded "added: second"'
is 'by the same process' "$(prop MainPID)" "$pid"
ask queues pause second >/dev/null
waits=$(ask enqueue certn.users --account second)
mv /etc/attendant/conf.d/second.toml /root/
done_ok 'an account is taken away' systemctl reload $unit
like 'its job waits, and says why' "$(ask jobs show "$waits" --json | grep -o '"waiting_for":.*' | json detail)" '*second*not configured*'
mv /root/second.toml /etc/attendant/conf.d/
done_ok 'and put back' ask reload
ask queues resume second >/dev/null
done_ok 'then its job runs' ask jobs wait "$waits" --timeout 60s
printf '[engine]\nlease = "soon"\n[accounts.third]\nprovider = "nobody"\n' >/etc/attendant/conf.d/bad.toml
ends 'a bad configuration is refused' 2 ask reload
ends 'by systemctl too' 1 systemctl reload $unit
checked=$(ask check 2>&1 | grep -m1 bad.toml)
like 'in the words of attendant check' "$(ask reload 2>&1)" "*$checked*"
comes 'daemon.reload_refused is logged' 'logged daemon.reload_refused bad.toml'
is 'the old one is in force' "$(prop ActiveState)/$(prop SubState)/$(prop MainPID)" "active/running/$pid"
done_ok 'and works' ask enqueue certn.users --account certn --wait --timeout 60s
rm /etc/attendant/conf.d/bad.toml
printf '[engine]\nconcurrency = 8\n' >/etc/attendant/conf.d/engine.toml
like 'what takes a restart is said' "$(ask reload 2>&1)" '*engine: *restart*'
rm /etc/attendant/conf.d/engine.toml
done_ok 'reloaded' ask reload

# ---- 7. restarts: nobody notices, nothing is lost

part 'restarts'
ask_on_and_on() {
    local n=0
    while [ -e /run/asking ]; do
        n=$((n + 1))
        ask enqueue certn.users --account certn --key "$1-$n" >>/tmp/asked 2>>/tmp/asked-errors || echo failed >>/tmp/asked-errors
    done
}
: >/run/asking
: >/tmp/asked-errors
ask_on_and_on restarts &
comes 'a client asks on and on' '[ -s /tmp/asked ]'
systemctl restart $unit
systemctl restart $unit
rm /run/asking
wait $!
is "no request failed through two restarts, of $(wc -l </tmp/asked)" "$(cat /tmp/asked-errors)" ''
systemctl stop $unit
is 'stopped' "$(prop ActiveState)/$(prop Result)" inactive/success
done_ok 'a request while it is down starts it, and is answered' ask enqueue certn.users --account certn
comes 'active again' active

# Its first poll is never answered, so that the kill finds it running.
fault '{"on": "GET /api/v1/hr/applicants/", "kind": "hang", "times": 1}'
job=$(order hire-1)
comes 'an order is being followed' 'ask jobs --kind certn.applicant --json | grep -q "\"state\":\"running\""'
pid=$(prop MainPID)
kill -KILL "$pid"
comes 'SIGKILL: started again' '[ "$(prop MainPID)" != '"$pid"' ] && active'
done_ok 'its work goes on to its end' ask jobs wait "$job" --scope chain --timeout 90s
is 'and the order was placed once' "$(orders)" 1

printf '[Service]\nWatchdogSec=4s\n' >"/etc/systemd/system/$unit.d/watchdog.conf"
systemctl daemon-reload
systemctl restart $unit
# It still answers, and everything else in it goes on; only nothing is dispatched any more.
comes 'the dispatcher hangs: the journal says so, and the watchdog ends it' \
    'echo "dispatcher $(prop MainPID)" >/run/attendant-hang; logged daemon.stalled dispatcher && journalctl --unit attendant.service --no-pager | grep -q "Watchdog timeout"'
rm "/etc/systemd/system/$unit.d/watchdog.conf" /run/attendant-hang
systemctl daemon-reload
comes 'it is started again' '[ "$(prop NRestarts)" -ge 1 ] && active'
systemctl restart $unit
done_ok 'and works' ask enqueue certn.users --account certn --wait --timeout 60s

# ---- 8. the journal

part 'the journal'
journalctl --sync
entry=$(journalctl --output json --no-pager ATTENDANT_EVENT=job.completed "ATTENDANT_JOB_ID=$job" | tail -1)
# field NAME VALUE: that the entry has it.
field() { is "field $1" "$(json "$1" <<<"$entry")" "$2"; }
field _SYSTEMD_UNIT attendant.service
field _UID "$(id -u attendant)"
field _COMM attendant
field SYSLOG_IDENTIFIER attendant
field PRIORITY 6
field ATTENDANT_KIND certn.application
field ATTENDANT_ACCOUNT certn
like 'field MESSAGE_ID' "$(json MESSAGE_ID <<<"$entry")" '????????????????????????????????'
like "a job's story, by its id" "$(journalctl --output cat --no-pager "ATTENDANT_JOB_ID=$job" --output-fields=ATTENDANT_EVENT | tr '\n' ' ')" 'job.enqueued*job.completed*'
like 'journalctl -x explains' "$(journalctl --catalog --no-pager ATTENDANT_EVENT=daemon.stalled)" '*What to do:*'

# ---- 9. stopping

part 'stopping'
# One that takes long enough to be met while it runs; where this machine is too slow, the next one is.
slow_request() {
    fault '{"on": "GET /", "slow": 4000, "times": 1}'
    job=$(ask enqueue certn.users --account certn)
    within 10 '[ "$(state_of '"$job"' state)" != queued ]'
    [ "$(state_of "$job" state)" = running ]
}
comes 'a request is on its way' slow_request
done_ok 'systemctl stop waits for it' systemctl stop $unit
is 'which is no failure' "$(prop Result)" success
systemctl start $unit
is 'it had ended before' "$(state_of "$job" state)/$(state_of "$job" attempt)" completed/1
printf '[engine]\nshutdown_timeout = "1s"\n' >/etc/attendant/conf.d/engine.toml
systemctl restart $unit
fault '{"on": "GET /", "kind": "hang", "times": 1}'
job=$(ask enqueue certn.users --account certn)
comes 'a request hangs' '[ "$(state_of '"$job"' state)" = running ]'
began=$(date +%s)
done_ok 'systemctl stop' systemctl stop $unit
took=$(($(date +%s) - began))
done_ok "within its limit, which is 1 s and what closing takes: $took s" test "$took" -le 20
is 'which is no failure either' "$(prop Result)" success
rm /etc/attendant/conf.d/engine.toml
systemctl start $unit
done_ok 'what was given back is done now' ask jobs wait "$job" --timeout 60s

# ---- 10. an upgrade, with a live database

part 'upgrade'
job=$(order hire-2)
comes 'an order is placed, and followed' '[ "$(orders)" = 2 ]'
: >/run/asking
: >/tmp/asked-errors
ask_on_and_on upgrade &
DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --install /handed/new.deb >/tmp/upgrade.log 2>&1
is 'dpkg --install of the new version' "$?" 0
comes 'the service is active' active
rm /run/asking
wait $!
is 'no request failed meanwhile' "$(cat /tmp/asked-errors)" ''
like 'the version' "$(dpkg-query --show --showformat '${Version}' attendant)" "$(dpkg-deb --field /handed/new.deb Version)"
is "the operator's configuration is as it was" "$(grep -c 'accounts.certn' /etc/attendant/attendant.toml)" 3
done_ok 'the order is followed to its end' ask jobs wait "$job" --scope chain --timeout 90s
is 'it was placed once' "$(orders)" 2
is 'its key still means it' "$(order hire-2)" "$job"

# ---- 11. what is wrong is said

part 'credentials that were tampered with'
cp /etc/credstore.encrypted/attendant.key /root/attendant.key.cred
head -c 60 /root/attendant.key.cred >/etc/credstore.encrypted/attendant.key
systemctl stop $unit
ends 'the service does not start' 1 systemctl start $unit
is 'and systemd says why' "$(prop ExecMainStatus)" 243
cp /root/attendant.key.cred /etc/credstore.encrypted/attendant.key
systemctl reset-failed $unit attendant.socket
systemctl start attendant.socket
done_ok 'mended' systemctl start $unit

# ---- 12. removed

part 'removed and purged'
DEBIAN_FRONTEND=noninteractive dpkg --remove attendant >/tmp/remove.log 2>&1
is 'dpkg --remove' "$?" 0
is 'nothing runs' "$(systemctl is-active attendant.socket attendant.service | tr '\n' ' ')" 'inactive inactive '
done_ok 'the state stays' test -s $state/attendant.db
done_ok 'and the configuration' test -s /etc/attendant/attendant.toml
DEBIAN_FRONTEND=noninteractive dpkg --purge attendant >/tmp/purge.log 2>&1
is 'dpkg --purge' "$?" 0
is 'the state is gone' "$(ls -d $state /run/attendant-sinks /run/attendant.sock 2>/dev/null)" ''
is 'the conffile too' "$(ls /etc/attendant/attendant.toml 2>/dev/null)" ''
done_ok "what the operator put beside it is the operator's" test -s /etc/attendant/secrets/certn-client-id
is 'nothing failed' "$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | tr '\n' ' ')" ''

echo
if [ "$failed" != 0 ]; then
    echo "-- the end of the journal"
    journalctl --no-pager --lines 120 --output short-precise
    tail -n 20 /tmp/install.log /tmp/upgrade.log /tmp/remove.log /tmp/purge.log
fi
echo "$passed passed, $failed failed, exposure $score, $SECONDS s"
[ "$failed" = 0 ]
