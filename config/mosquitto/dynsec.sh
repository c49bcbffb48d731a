#!/bin/sh
# The same rights for mosquitto's dynamic security plugin, where cameras come and go without a restart:
#     sh dynsec.sh CAMERA...  |  while read -r line; do mosquitto_ctrl -u admin -P PASSWORD dynsec $line; done
# prints one command of `mosquitto_ctrl dynsec` a line. Beforehand, once:
#     mosquitto_ctrl dynsec init /var/lib/mosquitto/dynamic-security.json admin
# and in mosquitto.conf:
#     per_listener_settings false
#     plugin /usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so
#     plugin_opt_config_file /var/lib/mosquitto/dynamic-security.json
# The passwords are set afterwards: mosquitto_ctrl dynsec setClientPassword CAMERA
set -eu
echo "createRole swarm"
for rule in \
    "publishClientReceive omnisight/swarm/#" \
    "subscribePattern omnisight/swarm/#" \
    "publishClientSend omnisight/swarm/consensus/+" \
    "publishClientSend omnisight/swarm/alerts/+/+" \
    "publishClientReceive inference/control/#" \
    "subscribePattern inference/control/#" \
    "publishClientSend inference/control/status" \
    "publishClientSend inference/data/#" \
    "publishClientReceive lprserver/system/control" \
    "subscribePattern lprserver/system/control" \
    "publishClientReceive lprserver/blacklist/updates" \
    "subscribePattern lprserver/blacklist/updates" \
    "publishClientSend lprserver/system/alerts" \
    "publishClientSend lprserver/blacklist/notifications" \
    "publishClientSend lprserver/blacklist/request" \
    "unsubscribePattern #"
do
    echo "addRoleACL swarm $rule allow 5"
done
for camera in "$@"; do
    echo "createRole camera-$camera"
    for rule in \
        "publishClientSend omnisight/swarm/tracks/$camera/+" \
        "publishClientSend omnisight/swarm/events/$camera/+" \
        "publishClientSend omnisight/swarm/models/$camera/weights" \
        "publishClientSend omnisight/swarm/status/$camera" \
        "publishClientSend inference/$camera/#" \
        "publishClientReceive inference/$camera/#" \
        "subscribePattern inference/$camera/#" \
        "publishClientSend lprserver/cameras/$camera/#" \
        "publishClientSend lprserver/checkpoints/$camera/#" \
        "publishClientReceive lprserver/cameras/$camera/#" \
        "subscribePattern lprserver/cameras/$camera/#"
    do
        echo "addRoleACL camera-$camera $rule allow 5"
    done
    echo "createClient $camera -p change-me"
    echo "addClientRole $camera swarm 5"
    echo "addClientRole $camera camera-$camera 5"
done
