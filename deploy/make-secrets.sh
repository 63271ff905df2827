#!/bin/sh
# Makes the passwords of compose.yaml in ./secrets beside this file, once: what is there
# stays. A certificate and its key are yours to put there, as tls_cert and tls_key.
#
# Compose mounts these files with the owner and the mode they have here, and each is read
# by one user of one container. So run it as root; otherwise it says what is left to do.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

# keep FILE OWNER: write a new file from standard input, of mode 0400
keep() {
    if test -e "secrets/$1"; then
        cat >/dev/null
        echo "secrets/$1 is there, and stays"
        return
    fi
    cat >"secrets/$1.new"
    chmod 0400 "secrets/$1.new"
    if test "$(id -u)" = 0; then
        chown "$2" "secrets/$1.new"
    else
        echo "as root: chown $2 secrets/$1"
    fi
    mv "secrets/$1.new" "secrets/$1"
}

password() {
    openssl rand -hex 24
}

# A role's password is known to the database, which makes the role, and in libpq's form to
# who logs in with it. Where one of the files is lost it is made of the other: the database
# may know the password already.
role() {
    if test -e "secrets/db_$1_password" && test -e "secrets/db_$1_pgpass"; then
        echo "the password of provlog_$1 is there, and stays"
        return
    elif test -e "secrets/db_$1_password"; then
        made=$(cat "secrets/db_$1_password")
    elif test -e "secrets/db_$1_pgpass"; then
        made=$(cut -d : -f 5 "secrets/db_$1_pgpass")
    else
        made=$(password)
    fi
    printf '%s\n' "$made" | keep "db_$1_password" 999:999
    printf 'db:5432:provlog:provlog_%s:%s\n' "$1" "$made" | keep "db_$1_pgpass" 10001:10001
}

password | keep db_superuser_password 999:999
role owner
role server

for each in tls_cert tls_key; do
    test -e "secrets/$each" || echo "missing: secrets/$each (PEM; chown 101:101, chmod 0400)"
done
