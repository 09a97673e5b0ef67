// What a claim cannot do without: create a file that nobody else has, write a record, close it.

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
    char record[256];
    memset(record, 'x', sizeof record);
    if (count != 2) return 64;
    int file = open(arguments[1], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0) return 1;
    if (write(file, record, sizeof record) != sizeof record) return 74;
    return close(file) == 0 ? 0 : 74;
}
