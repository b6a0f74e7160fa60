#!/usr/bin/env bash
# The certificates of a Dask cluster: who has them may use the cluster, and so run code as its machines do.
#
#   dask_tls.sh make FOLDER USER    the coordinator: take them from the parameter, or make them and store them there
#   dask_tls.sh wait FOLDER USER    a worker: take them from the parameter, as soon as it is there
#
# From the environment: TLS_PARAMETER, its name; TLS_KEY, the KMS key that encrypts it (make); AWS_DEFAULT_REGION.
# In FOLDER, which should be in memory: ca.pem, dask.pem, dask.key. One pair serves all, since Dask asks who signed it
# and not for whom. The key of the authority is gone when this ends: nobody signs another one.
set -euo pipefail
umask 077

readonly folder=$2 user=$3
readonly days=365

stored() { # write what the parameter holds to FOLDER/stored; fail with the AWS CLI's message
  aws ssm get-parameter --name "$TLS_PARAMETER" --with-decryption --query Parameter.Value --output text \
    >"$folder/stored" 2>"$folder/refused"
}

made() { # make authority, key and certificate; write the three to FOLDER/stored
  local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes) at
  at=$(mktemp -d "$folder/made.XXXXXX")
  openssl req -x509 "${curve[@]}" -keyout "$at/ca.key" -out "$at/ca.pem" -days $days -subj /CN=cdn2s3-authority \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
  openssl req "${curve[@]}" -keyout "$at/dask.key" -out "$at/dask.csr" -subj /CN=cdn2s3-dask
  printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature authorityKeyIdentifier=keyid \
    >"$at/extensions"
  openssl x509 -req -in "$at/dask.csr" -CA "$at/ca.pem" -CAkey "$at/ca.key" -CAcreateserial -days $days \
    -extfile "$at/extensions" -out "$at/dask.pem"
  cat "$at/ca.pem" "$at/dask.pem" "$at/dask.key" >"$folder/stored"
  rm -r "$at"
}

use() { # take the three out of FOLDER/stored, for USER alone
  awk -v at="$folder" 'BEGIN { split("ca.pem dask.pem dask.key", name, " "); part = 1 }
    { print > (at "/" name[part] ".new") } /^-----END / { part++ }' "$folder/stored"
  local name
  for name in ca.pem dask.pem dask.key; do
    grep -q '^-----END ' "$folder/$name.new" || { echo "$TLS_PARAMETER does not hold $name" >&2; return 1; }
    chown "$user:$user" "$folder/$name.new"
    chmod 400 "$folder/$name.new"
    mv "$folder/$name.new" "$folder/$name"
  done
  rm -f "$folder/stored" "$folder/refused"
}

mkdir -p "$folder"
chown "$user:$user" "$folder"
for ((attempt = 1; ; attempt++)); do
  ! stored || break
  if [ "$1" = make ] && grep -q ParameterNotFound "$folder/refused"; then
    made
    # From a file: what is on a command line, every user of the machine can read. Never over an existing one.
    aws ssm put-parameter --name "$TLS_PARAMETER" --type SecureString --key-id "$TLS_KEY" \
      --value "file://$folder/stored" >/dev/null
    break
  fi
  # A worker may be earlier than the coordinator, and both than the rights of their roles.
  [ $attempt -lt 30 ] || { cat "$folder/refused" >&2; exit 1; }
  sleep 10
done
use
