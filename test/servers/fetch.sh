#!/usr/bin/env bash
# fetch.sh SUITE PACKAGE CACHE
#
# Unpacks a server from the distribution's archive into CACHE, and prints its folder. SUITE "own" is the machine's
# own release. The server comes with every library that it needs, also libc, and runs through its own loader, so
# that a newer release's server works here. It needs no root, and leaves the machine's apt and dpkg unchanged: apt
# runs with a state, lists and sources of its own, and with the machine's configuration (mirror, proxy, credentials).
set -euo pipefail
umask 022 # under root the server runs as another user, who must be able to read these files
export LC_ALL=C
trap 'echo "fetch.sh line $LINENO failed: $BASH_COMMAND" >&2' ERR
suite=$1 package=$2 cache=$3

. /etc/os-release
[ "$suite" != own ] || suite=$VERSION_CODENAME
arch=$(dpkg --print-architecture)

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
root=$cache/$suite-${package//[^a-z0-9-]/}-$arch # the package may be a pattern
# Only one process fetches a package at a time. The kernel releases the lock however the process ends. The folder
# is renamed from ".partial" at the very end, in one step, so that without this suffix it is always complete.
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
: > "$apt/status" # an empty list of installed packages: apt then resolves all dependencies of the server

# Uses this machine's mirrors, with the suite in place of its release. sid has neither updates nor security.
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

# With -c this file is read after /etc/apt/apt.conf.d. The hooks from there (such as cleaning the package cache)
# are for the machine's own apt, and are cleared here.
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

# Of the packages that apt would install, a server needs only its own and shared libraries: no perl, no init
# system, no compiler for queries (PostgreSQL works without it).
server='^(postgresql-[0-9]+(-pgvector)?|mysql-server-core.*|mariadb-server-core.*|pgbouncer)$'
# The scripts with which a node of a cluster sends its data to another one call these.
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
  else # only files directly in the folder of libraries; its subfolders have plugins, which a server does not need
    only=(--no-wildcards-match-slash --exclude=./{bin,sbin} --exclude=./usr/{bin,sbin,share} --exclude={./usr/lib,./lib}/'*/*/*')
  fi
  dpkg-deb --fsys-tarfile "$deb" |
    tar -x -C "$partial" --no-same-owner --keep-directory-symlink "${needless[@]}" "${only[@]}"
done

# Replaces each program by a script of its name that runs it through the loader. A script, since programs start
# each other by name (initdb starts postgres). With exec, so that the started process is the server itself. Paths
# are relative to the script, so that the cache may be moved.
libraries=$(dirname "$(find "$partial/usr/lib" -name libc.so.6 | head -n 1)")
loader=$(find "$libraries" -name 'ld-linux*.so.*' | head -n 1)
find "$partial/usr" -type f -perm -u+x \( -path '*/usr/bin/*' -o -path '*/usr/sbin/*' -o -path '*/postgresql/*/bin/*' \) |
  while read -r program; do
    [ "$(head -c 4 "$program")" = $'\x7fELF' ] || continue
    folder=$(dirname "$program") name=$(basename "$program")
    mkdir -p "$folder/.elf" "$folder/.loader"
    mv "$program" "$folder/.elf/$name"
    ln "$loader" "$folder/.loader/$name" # so that ps and logs show the program's name
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
