# Debian's xenstore programs, each command with what it prints and its status. Run in Dom0 of real Xen
# for tools.golden.txt, and by tools.test.ts against our socket.
ask() {
  printf '$ %s\n' "$*"
  timeout 20 "$@" 2>&1
  echo "[rc=$?]"
}
ask xenstore-write /t/a 1 /t/b two /t/b/c ""
ask xenstore-read /t/a
ask xenstore-read /t/a /t/b
ask xenstore-read -p /t/a /t/b
ask xenstore-read /t/none
ask xenstore-read -R /t/b
ask xenstore-read
ask xenstore-list /t
ask xenstore-list -p /t
ask xenstore-list /t/a
ask xenstore-list /t/none
ask xenstore-ls /t
ask xenstore-ls -f /t
ask xenstore-ls -p /t
ask xenstore-ls -fp /t
ask xenstore-ls /t/none
ask xenstore-exists /t/a
ask xenstore-exists /t/none
ask xenstore-exists /t/a /t/none
ask xenstore-chmod /t/a n0 r1
ask xenstore-chmod -r /t/b b3
ask xenstore-chmod -u /t/b/c r4
ask xenstore-chmod /t/none n0
ask xenstore-chmod /t/a x1
ask xenstore-chmod /t/a
ask xenstore-ls -fp /t
ask xenstore-write /t/bin "a\\x00b\\n"
ask xenstore-read /t/bin
ask xenstore-read -R /t/bin
ask xenstore-write /t/odd
ask xenstore-write "bad path" x
ask xenstore-write /t//x x
ask xenstore-write /t/utf "grüße"
ask xenstore-ls /t
ask xenstore-rm /t/b/c
ask xenstore-rm -t /t/b
ask xenstore-rm /t/none
ask xenstore-rm /none/none
ask xenstore-write -s /s x
ask xenstore-read -s /t/a
ask xenstore-watch -n 1 /t
ask xenstore-watch -n 2 /t /t/a
(sleep 2; xenstore-write /t/w 1; xenstore-rm /t/w) &
ask xenstore-watch -n 3 /t
ask xenstore read /t/a
ask xenstore ls /t
ask xenstore-rm /t /s
ask xenstore-ls /t
