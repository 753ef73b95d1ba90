# Runs the server "$@" until descriptor 3 ends, which is when the process that
# holds its other end stops the server or is gone. Descriptor 4 is the lock on
# the directory. LOG, SIGNAL and REMOVE come in the environment.
"$@" >>"$LOG" 2>&1 </dev/null 3<&- 4<&- &
server=$!
(
	read -r _ <&3
	# A shell starts background programs with SIGINT and SIGQUIT ignored: the
	# first signal may come before the server handles them.
	while kill -s "$SIGNAL" "$server"; do sleep 1; done
) 2>/dev/null &
watcher=$!
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
if [ -n "$REMOVE" ]; then
	rm -rf "$REMOVE"
fi
exit "$code"
