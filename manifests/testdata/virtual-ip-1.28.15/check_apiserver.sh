# /etc/keepalived/check_apiserver.sh 0755
#!/bin/sh
# Written by install: may this node hold the virtual IP? Only if an API server answers through its HAProxy.
code=$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 --cacert /etc/kubernetes/pki/ca.crt --connect-to ::10.77.0.11:8443 https://10.0.0.100:8443/readyz)
case $code in 200|401) exit 0 ;; esac
exit 1
