#!/usr/bin/env bash
# What an instance of one-instance.yaml or cluster.yaml does at each start, as root, once user data has brought the code.
#
#   boot.sh ROLE      ROLE: instance (one-instance.yaml), coordinator or worker (cluster.yaml)
#
# From the environment: AWS_DEFAULT_REGION; BUCKET, PREFIX and VOLUME (instance, coordinator); TLS_PARAMETER
# (coordinator, worker), TLS_KEY (coordinator), SCHEDULER (worker). Amazon Linux 2023. Every step may be repeated.
set -euo pipefail

readonly role=$1
code=$(cd "$(dirname "$0")/.." && pwd)
readonly code
readonly current=/opt/cdn2s3/current # the code that runs: a link to one of the folders beside it
readonly state=/srv/migration        # the volume: settings, urls.txt and STATE_DIR
readonly user=ec2-user
readonly tls=/run/cdn2s3 # in memory: the key is never on a disk

environment() { # make the virtual environment of this code, unless it is whole already
  [ ! -e "$code/.venv/whole" ] || return 0
  local needs=(-r "$code/requirements.txt")
  [ "$role" = instance ] || needs+=(-r "$code/requirements-dask.txt")
  rm -rf "$code/.venv"
  python3.11 -m venv "$code/.venv"
  "$code/.venv/bin/python" -m pip install --quiet --disable-pip-version-check "${needs[@]}" -c "$code/constraints.txt"
  touch "$code/.venv/whole"
}

device() { # print the path of the volume, as soon as it is attached; fail after five minutes
  local path=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${VOLUME/-/} second
  for ((second = 0; second < 300; second++)); do
    [ ! -e "$path" ] || { echo "$path"; return; }
    sleep 1
  done
  echo "the volume $VOLUME is not attached: there is no $path" >&2
  return 1
}

mount_state() { # mount the volume; a file system is made only where there is nothing but zeros, as AWS hands it over
  local path type uuid
  mkdir -p "$state"
  ! mountpoint -q "$state" || return 0
  path=$(device)
  if ! blkid -p "$path" >/dev/null && cmp -s -n 1048576 "$path" /dev/zero; then
    mkfs.ext4 -q -L cdn2s3 "$path"
  fi
  type=$(blkid -p -s TYPE -o value "$path" || true)
  uuid=$(blkid -p -s UUID -o value "$path" || true)
  if [ -z "$type" ] || [ -z "$uuid" ]; then
    echo "the volume $VOLUME has no file system, but is not empty: it stays as it is" >&2
    return 1
  fi
  grep -q "^UUID=$uuid " /etc/fstab || echo "UUID=$uuid $state $type defaults,nofail 0 2" >>/etc/fstab
  mount "$state"
  [ "$type" != ext4 ] || resize2fs "$path" # a larger volume, since the last start
}

setting() { # setting FILE NAME VALUE: write a setting that the file has, or does not have yet
  if grep -q "^$2=" "$1"; then sed -i "s|^$2=.*|$2=$3|" "$1"; else echo "$2=$3" >>"$1"; fi
}

working_folder() { # the scripts, as links, and settings to fill in; what is there already stays
  local name
  for name in collect_urls.py migrate.py validate.py variants.py; do
    ln -sfn "$current/$name" "$state/$name"
  done
  [ -e "$state/collection.env" ] || cp "$code/collection.env" "$state/"
  if [ ! -e "$state/migration.env" ]; then
    cp "$code/migration.env" "$state/migration.env.new"
    setting "$state/migration.env.new" DESTINATION_BUCKET "$BUCKET"
    setting "$state/migration.env.new" DESTINATION_PREFIX "$PREFIX"
    setting "$state/migration.env.new" AWS_REGION "$AWS_DEFAULT_REGION"
    mv "$state/migration.env.new" "$state/migration.env"
  fi
  if [ "$role" = coordinator ]; then
    setting "$state/migration.env" DASK_SCHEDULER "tls://$(own_address):8786" # another one, should the instance be
  fi
  chown "$user:$user" "$state" "$state/collection.env" "$state/migration.env"
  cat >/etc/profile.d/cdn2s3.sh <<END
[ "\$(id -un)" != $user ] || { . $current/.venv/bin/activate; cd $state; } # what 'sudo -iu $user' begins with
END
}

own_address() { # print this machine's address within the VPC
  hostname -I | cut -d ' ' -f 1
}

dask_settings() { # Dask's own: TLS everywhere, both sides shown to be of this cluster
  local side
  mkdir -p /etc/dask
  {
    printf 'distributed:\n  comm:\n    require-encryption: true\n    tls:\n      ca-file: %s/ca.pem\n' "$tls"
    for side in scheduler worker client; do
      printf '      %s: {cert: %s/dask.pem, key: %s/dask.key}\n' "$side" "$tls" "$tls"
    done
  } >/etc/dask/cdn2s3.yaml
  [ "$role" = coordinator ] || echo "SCHEDULER=$SCHEDULER" >/etc/cdn2s3.env
}

unit() { # unit NAME: let systemd know it, as this code has it
  install -m 644 "$code/aws/$1.service" /etc/systemd/system/
  systemctl daemon-reload
}

environment
if [ "$role" != worker ]; then
  mount_state
  working_folder
  unit cdn2s3-migrate # started and enabled by a person: when, is theirs to say
fi
before=$(readlink "$current" || true)
ln -sfn "$code" "$current"
case $role in
  coordinator)
    bash "$code/aws/dask_tls.sh" make "$tls" "$user"
    dask_settings
    unit cdn2s3-dask-scheduler
    systemctl restart cdn2s3-dask-scheduler
    ;;
  worker)
    bash "$code/aws/dask_tls.sh" wait "$tls" "$user"
    dask_settings
    unit cdn2s3-dask-worker
    systemctl restart cdn2s3-dask-worker
    ;;
esac
# A run that began with other code at this start of the machine: end it cleanly, go on with this one.
[ "$before" = "$code" ] || systemctl try-restart cdn2s3-migrate 2>/dev/null || true
echo "ready: $role, $code"
