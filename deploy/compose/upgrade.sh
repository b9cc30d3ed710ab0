#!/bin/sh
# Replaces workers and web servers one by one, after a build or a change of .env, and loses no request:
#
#   docker compose build
#   deploy/compose/upgrade.sh
#
# The database is migrated first. A new container is healthy before an old one is told to stop, which answers what it has
# accepted before it ends: one more fits into the machine's memory while this runs. If a new one ends instead, it is
# removed, and what still runs goes on. Worker services of your own are named, web servers last:
#
#   deploy/compose/upgrade.sh worker worker-chat web
#
# Compose 1.29: COMPOSE=docker-compose. Several files: COMPOSE_FILE, as for Compose itself.
set -eu

cd "$(dirname "$0")/../.."
compose=${COMPOSE:-docker compose}
[ $# -gt 0 ] || set -- worker web

fail() {
    echo "$1" >&2
    exit 1
}

containers() {
    $compose ps --quiet "$1"
}

# healthy CONTAINER: wait until it is; 1 if it ends before.
healthy() {
    while true; do
        case $(docker inspect --format '{{.State.Health.Status}} {{.RestartCount}} {{.State.Running}}' "$1") in
            "healthy 0 true") return 0 ;;
            "starting 0 true") sleep 1 ;;
            *) return 1 ;;
        esac
    done
}

echo "migrate"
$compose up --detach migrate
migrate=$($compose ps --all --quiet migrate)
[ "$(docker wait "$migrate")" = 0 ] || fail "$(docker logs --tail 20 "$migrate" 2>&1)"

for service; do
    replaced=$(containers "$service")
    number=$(echo "$replaced" | wc -w)
    scales="--scale $service=$((number + 1))"
    for other; do
        [ "$other" = "$service" ] || scales="$scales --scale $other=$(containers "$other" | wc -w)"
    done
    for old in $replaced; do
        before=$(containers "$service")
        # Not --no-deps: with it, Compose 2 notes other settings, and its next `up` makes all anew. It fails if the new one
        # does not become healthy.
        $compose up --detach --no-recreate $scales || true
        new=$(containers "$service" | grep --invert-match --fixed-strings "$before") || fail "There is no new $service."
        if ! healthy "$new"; then
            docker logs --tail 20 "$new" >&2
            docker rm --force --volumes "$new" >/dev/null
            fail "The new $service does not become healthy. It is removed; the others go on."
        fi
        docker stop "$old" >/dev/null
        docker rm --volumes "$old" >/dev/null
        echo "$service: replaced 1 of $number"
    done
done

$compose up --detach prune
