# In a Debian that worked for a while: its security updates, new programs, a user's files. EXTRA: the programs.
apt-get -q update
apt-get -q -y upgrade
apt-get -q -y --no-install-recommends install $EXTRA
useradd --create-home alice
cd /home/alice
cp -r /usr/lib/python3 python
find python -name '*.py' | sort | head -200 | xargs sed -i '1i # edited'
head -c 30000000 /dev/urandom > video.mp4
git init -q repo
cp -r /usr/share/perl/5.*.* repo/perl
git -C repo add -A
git -C repo -c user.name=a -c user.email=a@b commit -q -m first
sqlite3 table.db 'create table t(a, b); with recursive c(x) as (select 1 union all select x + 1 from c where x < 300000)
    insert into t select x, random() from c;'
for number in $(seq 20000); do echo "Jan 1 host daemon[$number]: message $RANDOM from $RANDOM"; done > /var/log/messages
apt-get -q -y purge $GOES
apt-get -q -y autoremove
apt-get -q clean
rm -rf /usr/share/doc/lib*
