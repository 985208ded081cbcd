# /etc/keepalived/check_leaving.sh 0755
#!/bin/sh
# Written by install: shall this node hold the virtual IP? Not if another one can while it is upgraded or reset.
test ! -e /etc/keepalived/leaving
