# What .ci/run needs of the machine: commands, Pythons, a browser. Sourced, not run.

as_root() { # as_root COMMAND...: run it as root, or fail where that is not possible without a password
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

apt_install() { # apt_install PACKAGE...: install Debian packages; fail where that is not possible
  command -v apt-get >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get -qq update && apt-get -qq -y --no-install-recommends install "$@" >/dev/null' sh "$@"
}

need_command() { # need_command NAME PACKAGE: install PACKAGE where the command is missing
  command -v "$1" >/dev/null && return
  echo "$1 is missing: installing the package $2"
  apt_install "$2" || { echo "$1 is missing, and $2 cannot be installed" >&2; return 1; }
}

python_version() { # python_version PATH: print its version (3.13.0); fail where it cannot make environments
  "$1" -c 'import ensurepip, platform, sys, venv
assert sys.version_info >= (3, 9)
print(platform.python_version())' 2>/dev/null
}

python_list() { # print "version path" of each Python that can be used, oldest first
  local found version
  for found in "$HOME"/.pyenv/versions/*/bin/python3 $(compgen -c python3 | grep -E '^python3(\.[0-9]+)?$' | sort -u); do
    found=$(command -v "$found" 2>/dev/null) || continue
    version=$(python_version "$found") || continue
    echo "$version $found"
  done | sort -V -u
}

need_pythons() { # set newest, newest_version, oldest and oldest_version (these two empty without a Python 3.9)
  local list
  list=$(python_list)
  if [ -z "$list" ]; then
    echo "no Python that can make virtual environments: installing python3-venv"
    apt_install python3 python3-venv || { echo "Python 3.9 or newer with venv is missing" >&2; return 1; }
    list=$(python_list)
  fi
  read -r newest_version newest <<<"$(tail -n 1 <<<"$list")"
  read -r oldest_version oldest <<<"$(grep -m 1 '^3\.9\.' <<<"$list" || python_39_from_uv)" || true
}

python_39_from_uv() { # print "version path" of a Python 3.9 that uv has or can get; print nothing without
  local tools=.venv-ci-uv found
  echo "no Python 3.9 here: trying to get one with uv" >&2
  {
    "$newest" -m venv "$tools" &&
      "$tools/bin/python" -m pip install --quiet uv &&
      timeout 300 "$tools/bin/uv" python install --quiet 3.9
  } >&2 || { echo "uv could not get one either" >&2; return 0; }
  found=$("$tools/bin/uv" python find --no-project 3.9) || return 0
  echo "$(python_version "$found") $found"
}

need_browser() { # install chromium and its driver for the tests that open the report pages; skipped without them
  command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null && {
    echo "browser: $(command -v chromium || command -v google-chrome)"
    return
  }
  echo "no browser, or no driver for it: installing chromium and chromium-driver"
  apt_install chromium chromium-driver ||
    echo "they cannot be installed: the tests of the report pages will be skipped"
}
