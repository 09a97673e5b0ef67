import TestSupport

/// A program that claims and is no shell: with threads, and with a forked worker.
let ownerProgram = compile(
    """
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/wait.h>
    #include <unistd.h>

    static void claim(const char *key) {
        pid_t child = fork();
        if (child == 0) {
            freopen("/dev/null", "w", stdout);
            execlp("flock-cache", "flock-cache", "claim", key, (char *)NULL);
            _exit(127);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0) { printf("no claim: %d\\n", status); exit(1); }
    }

    static void say(const char *text) { puts(text); fflush(stdout); }

    /* Says when the main thread shows as a zombie, and ends the process when told to. */
    static void *outlive(void *unused) {
        char path[64], text[256], end;
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
        for (;;) {
            FILE *file = fopen(path, "r");
            size_t count = fread(text, 1, sizeof text - 1, file);
            fclose(file);
            text[count] = 0;
            if (strstr(text, ") Z ")) break;
            sched_yield();
        }
        say("the main thread has ended");
        read(0, &end, 1);
        _exit(0);
    }

    int main(int count, char **arguments) {
        char end;
        int told[2];
        if (strcmp(arguments[1], "threads") == 0) {
            pthread_t thread;
            claim(arguments[2]);
            pthread_create(&thread, NULL, outlive, NULL);
            pthread_exit(NULL);
        }
        /* A worker that was forked and never executed anything, as servers have them. */
        pipe(told);
        pid_t worker = fork();
        if (worker == 0) {
            claim(arguments[2]);
            write(told[1], "x", 1);
            for (;;) pause();
        }
        read(told[0], &end, 1);
        printf("%d\\n", (int)worker);
        fflush(stdout);
        getchar();
        kill(worker, SIGKILL);
        waitpid(worker, NULL, 0);
        say("the worker has ended");
        getchar();
        getchar();
        return 0;
    }
    """, as: "owner-program")
