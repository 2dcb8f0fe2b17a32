# A day of light work: log lines, edits, a commit, one row of a table in a hundred, 8 MB of new documents.
cd /home/alice
for number in $(seq 5000); do echo "Jan 3 host daemon[$number]: message $RANDOM $RANDOM"; done >> /var/log/messages
for number in $(seq 50); do echo "note $number $RANDOM"; done >> notes.txt
find repo/perl -maxdepth 1 -name '*.pm' | sort | head -40 | xargs sed -i '1i # day 4'
git -C repo -c user.name=a -c user.email=a@b commit -q -a -m light
sqlite3 table.db 'update t set b = b + 1 where a % 100 = 0;'
head -c 5000000 /dev/urandom > photo.jpg
head -c 3000000 /usr/bin/git > document.bin
rm -rf /usr/share/doc/g*
