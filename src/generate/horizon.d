#!/bin/sh
# Skyline's bin/horizon.d for Skyring: the same verbs, messages and exit codes. The
# stock script looks for Python processes only, so its stop would leave Skyring running.
# Keep the stock one beside it, as bin/horizon.d.python, for the way back.
#
# Each value can be set in the environment instead.

SKYRING=${SKYRING:-@BINARY@}
SKYRING_CONFIG=${SKYRING_CONFIG:-@CONFIG@}
# Skyline's PID_PATH and LOG_PATH.
PID_PATH=${PID_PATH:-@PID_PATH@}
LOG_PATH=${LOG_PATH:-@LOG_PATH@}
# The user to run as, when this is called by root; empty = the caller.
SKYRING_USER=${SKYRING_USER:-}
# Longest wait for it to listen, in seconds.
START_TIMEOUT=${START_TIMEOUT:-10}
# Longest wait for its end before it is killed, in seconds: drain_s and its own time.
STOP_TIMEOUT=${STOP_TIMEOUT:-@STOP_S@}

SERVICE_NAME=horizon
PID_FILE=$PID_PATH/$SERVICE_NAME.pid
LOG_FILE=$LOG_PATH/$SERVICE_NAME.log

# The first word of the pid file, if it is a number over 1.
pid_of_file() {
    [ -f "$PID_FILE" ] || return 1
    read -r found _ <"$PID_FILE"
    case $found in
        '' | *[!0-9]*) return 1 ;;
    esac
    [ "$found" -gt 1 ] 2>/dev/null && echo "$found"
}

# Whether the process is there; one that only waits for its parent is not.
is_running() {
    [ -r "/proc/$1/status" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

is_skyring() {
    name=$(basename "$SKYRING" | cut -c 1-15)
    read -r command 2>/dev/null <"/proc/$1/comm" && [ "$command" = "$name" ]
}

log() {
    echo "$(date '+%Y-%m-%d %H:%M:%S') :: $$ :: $SERVICE_NAME.d :: $*" >>"$LOG_FILE"
}

check_paths() {
    if [ ! -d "$LOG_PATH" ]; then
        echo "error: The LOG_PATH directory $LOG_PATH does not exist"
        exit 1
    fi
    if [ ! -d "$PID_PATH" ]; then
        echo "error: The PID_PATH directory $PID_PATH does not exist"
        exit 1
    fi
}

status() {
    if pid=$(pid_of_file) && is_running "$pid" && is_skyring "$pid"; then
        echo "$SERVICE_NAME is running with pid $pid"
        return 0
    fi
    if [ -f "$PID_FILE" ]; then
        echo "$SERVICE_NAME is dead and pid file exists - $PID_FILE"
        return 1
    fi
    echo "$SERVICE_NAME is not running"
    return 3
}

start() {
    if pid=$(pid_of_file) && is_running "$pid"; then
        if ! is_skyring "$pid"; then
            echo "error: $PID_FILE names process $pid, which is not $(basename "$SKYRING"): end it if it is Python's Horizon, else remove the file"
            return 1
        fi
        echo "$SERVICE_NAME is already running with pid $pid"
        return 0
    fi
    # After a restart's stop there may be one left, of a process that was killed.
    if [ -f "$PID_FILE" ] && [ "$1" != restart ]; then
        if pid_of_file >/dev/null; then
            echo "$SERVICE_NAME is dead but pid file exists - $PID_FILE"
        else
            echo "error: A pid file exists for $SERVICE_NAME with no valid pid $PID_FILE"
        fi
        return 1
    fi
    rm -f "$PID_FILE"

    as_user=
    if [ -n "$SKYRING_USER" ] && [ "$(id -u)" -eq 0 ]; then
        as_user="setpriv --reuid=$SKYRING_USER --regid=$SKYRING_USER --init-groups"
    fi
    # A session of its own: the end of the terminal is not its end.
    # shellcheck disable=SC2086 # words, or none
    setsid $as_user "$SKYRING" serve --config "$SKYRING_CONFIG" --set "pid_file=\"$PID_FILE\"" \
        </dev/null >>"$LOG_FILE" 2>&1 &
    child=$!

    # It writes its pid file when it listens.
    tries=$((START_TIMEOUT * 10))
    while [ "$tries" -gt 0 ]; do
        if pid=$(pid_of_file) && is_running "$pid"; then
            log "started with pid $pid"
            echo "$SERVICE_NAME started with pid $pid"
            return 0
        fi
        if ! is_running "$child"; then
            wait "$child"
            code=$?
            log "error - failed to start, exit code $code"
            echo "error - failed to start $SERVICE_NAME"
            [ "$code" -ne 0 ] || code=1
            return "$code"
        fi
        sleep 0.1
        tries=$((tries - 1))
    done
    log "error - not listening after $START_TIMEOUT seconds, ending it"
    kill "$child" 2>/dev/null
    echo "error - failed to start $SERVICE_NAME"
    return 1
}

stop() {
    if [ ! -f "$PID_FILE" ]; then
        echo "$SERVICE_NAME is not running"
        return 0
    fi
    if ! pid=$(pid_of_file); then
        echo "error: A pid file exists for $SERVICE_NAME with no valid pid $PID_FILE"
        return 1
    fi
    if ! is_running "$pid"; then
        echo "$SERVICE_NAME is dead but pid file exists - $PID_FILE"
        return 1
    fi
    # The pid file may be Python Horizon's, or its number another process's by now.
    if ! is_skyring "$pid"; then
        echo "error: process $pid of $PID_FILE is not Skyring; stop Python Horizon with its own horizon.d"
        return 1
    fi
    log "stopping process $pid"
    if ! kill -TERM "$pid" 2>/dev/null && is_running "$pid"; then
        echo "error: process $pid cannot be stopped by $(id -un)"
        return 1
    fi
    if wait_gone "$pid" "$STOP_TIMEOUT"; then
        rm -f "$PID_FILE"
        log "all $SERVICE_NAME processes have been stopped - OK"
        echo "$SERVICE_NAME has been stopped"
        return 0
    fi
    log "error - still draining after $STOP_TIMEOUT seconds, kill -9 process $pid"
    kill -KILL "$pid" 2>/dev/null
    if wait_gone "$pid" 10; then
        rm -f "$PID_FILE"
        log "pid file removed"
        echo "$SERVICE_NAME has been stopped"
    else
        echo "$SERVICE_NAME.d failed to stop process $pid"
    fi
    return 1
}

wait_gone() {
    tries=$(($2 * 10))
    while is_running "$1"; do
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
        tries=$((tries - 1))
    done
}

run() {
    echo "running $SERVICE_NAME"
    exec "$SKYRING" serve --config "$SKYRING_CONFIG" --set "pid_file=\"$PID_FILE\""
}

case $1 in
    start)
        check_paths
        start
        ;;
    stop)
        check_paths
        stop
        ;;
    restart)
        check_paths
        stop
        # What could not be stopped must not get a second one beside it.
        if pid=$(pid_of_file) && is_running "$pid"; then
            exit 1
        fi
        start restart
        ;;
    run)
        check_paths
        run
        ;;
    status)
        check_paths
        status
        ;;
    *)
        echo "Usage: $0 {start|stop|restart|run|status}"
        exit 2
        ;;
esac
