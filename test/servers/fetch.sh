#!/usr/bin/env bash
# fetch.sh SUITE PACKAGE CACHE
#
# Unpacks a server from the distribution's archive into CACHE and prints where. SUITE "own" is the machine's
# own release. The server comes with every library it needs, libc too, and runs through its own loader, so a
# newer release's server works here. Neither root nor the machine's apt and dpkg take part: apt is given
# state, lists and sources of its own and only lends its configuration (mirror, proxy, credentials).
set -euo pipefail
umask 022 # the server runs as another user than root and must be able to read all this
export LC_ALL=C
trap 'echo "fetch.sh line $LINENO failed: $BASH_COMMAND" >&2' ERR
suite=$1 package=$2 cache=$3

. /etc/os-release
[ "$suite" != own ] || suite=$VERSION_CODENAME
arch=$(dpkg --print-architecture)

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
root=$cache/$suite-${package//[^a-z0-9-]/}-$arch # the package may be a pattern
# One fetch of a package at a time. The kernel releases the lock however we end, and the name without
# ".partial" appears in one step at the very end: what it names is whole.
exec 9> "$root.lock"
flock 9
if [ -d "$root" ]; then
  echo "$root"
  exit
fi
partial=$root.partial apt=$root.partial/apt
rm -rf "$partial"
trap 'rm -rf "$partial"' EXIT
mkdir -p "$apt"/{lists,archives}/partial "$apt/sources"
: > "$apt/status" # nothing is installed, so apt resolves all that the server needs

# The mirrors that this machine uses, asked for another suite. sid has neither updates nor security.
keyring=$(find /usr/share/keyrings -name "$ID-archive-keyring.*" | sort | head -n 1)
apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
  while read -r uri release component; do
    case $release in
      "$VERSION_CODENAME") echo "deb [signed-by=$keyring] $uri $suite $component" ;;
      "$VERSION_CODENAME"-updates | "$VERSION_CODENAME"-security)
        [ "$suite" = sid ] || echo "deb [signed-by=$keyring] $uri $suite${release#"$VERSION_CODENAME"} $component" ;;
    esac
  done > "$apt/sources/archive.list"
[ -s "$apt/sources/archive.list" ] || {
  echo "expected apt sources of $VERSION_CODENAME in /etc/apt, found none" >&2
  exit 1
}

# Given with -c it is read after /etc/apt/apt.conf.d, whose hooks (a package cache's cleaning, a desktop's
# index) are for the machine's own apt and are cleared here.
cat > "$apt/apt.conf" << CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::State::extended_states "$apt/extended_states";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Log "$apt";
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Debug::NoLocking "true";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
CONF
apt_get() { apt-get -c "$apt/apt.conf" -qq "$@"; }
apt_get --error-on=any update

# Of all that apt would install, a server process needs its own package and shared libraries: no perl, no
# init system, no compiler for queries (PostgreSQL runs quietly without).
server='^(postgresql-[0-9]+|mysql-server-core.*|mariadb-server-core.*|pgbouncer)$'
# A node of a cluster sends its data to another by scripts, which call these.
[ "$package" != mariadb-server ] || server='^(mariadb-(server|client-core).*|galera-4|rsync|socat|lsof|iproute2|procps)$'
unneeded='^lib(perl|python|llvm|z3|db[di]-|pam-|.*-perl)'
apt_get install --print-uris -y "$package" | sed "s/^'[^']*' \([^_]*\)_.*/\1/" |
  grep -E "$server|^(lib|zlib1g)" | grep -Ev "$unneeded" > "$apt/packages"
(cd "$apt/archives" && xargs -a "$apt/packages" apt-get -c "$apt/apt.conf" -qq download >&2)

mkdir -p "$partial"/usr/{bin,sbin,lib,lib64}
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$partial/$folder"; done
needless=(--exclude=./{bin,sbin,etc,var} --exclude=./usr/bin --exclude=./usr/share/{bug,doc,lintian,locale,man})
[ "$package" != mariadb-server ] || needless=(--exclude=./{etc,var} --exclude=./usr/share/{bug,doc,lintian,locale,man})
for deb in "$apt"/archives/*.deb; do
  name=${deb##*/} name=${name%%_*}
  if [[ $name =~ $server ]]; then
    only=(--exclude='./usr/lib/postgresql/*/lib/bitcode')
  else # what lies directly in the folder of libraries; below are plugins, of no use to a server
    only=(--no-wildcards-match-slash --exclude=./{bin,sbin} --exclude=./usr/{bin,sbin,share} --exclude={./usr/lib,./lib}/'*/*/*')
  fi
  dpkg-deb --fsys-tarfile "$deb" |
    tar -x -C "$partial" --no-same-owner --keep-directory-symlink "${needless[@]}" "${only[@]}"
done

# Each program becomes a script of its name that runs it through the loader. A script and not arguments of
# ours, since programs start each other by name (initdb starts postgres); and exec, so that the process we
# start is the server. Paths are relative to the script: the cache may be moved.
libraries=$(dirname "$(find "$partial/usr/lib" -name libc.so.6 | head -n 1)")
loader=$(find "$libraries" -name 'ld-linux*.so.*' | head -n 1)
find "$partial/usr" -type f -perm -u+x \( -path '*/usr/bin/*' -o -path '*/usr/sbin/*' -o -path '*/postgresql/*/bin/*' \) |
  while read -r program; do
    [ "$(head -c 4 "$program")" = $'\x7fELF' ] || continue
    folder=$(dirname "$program") name=$(basename "$program")
    mkdir -p "$folder/.elf" "$folder/.loader"
    mv "$program" "$folder/.elf/$name"
    ln "$loader" "$folder/.loader/$name" # under this name, ps and a log call the process what it is
    cat > "$program" << WRAPPER
#!/bin/sh
unset LD_PRELOAD LD_LIBRARY_PATH
here=\${0%/*}
exec "\$here/.loader/$name" --inhibit-cache --library-path "\$here/$(realpath --relative-to="$folder" "$libraries")" --argv0 "\$0" "\$here/.elf/$name" "\$@"
WRAPPER
    chmod 755 "$program"
  done

rm -rf "$apt"
mv "$partial" "$root"
echo "$root"
