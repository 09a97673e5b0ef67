import TestSupport

/// A program that prints the number of each signal it gets, and ends at the second USR2 in a row.
///
/// `apart` makes it leave for a process group of its own.
let signalProgram = compile(
    """
    #include <signal.h>
    #include <stdio.h>
    #include <string.h>
    #include <unistd.h>

    int main(int count, char **arguments) {
        int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
        sigset_t signals;
        sigemptyset(&signals);
        for (int at = 0; at < 7; at++) sigaddset(&signals, numbers[at]);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        if (count > 1 && strcmp(arguments[1], "apart") == 0) setpgid(0, 0);
        printf("ready %d\\n", (int)getpid());
        fflush(stdout);
        for (int last = 0, signal; sigwait(&signals, &signal) == 0; last = signal) {
            printf("%d\\n", signal);
            fflush(stdout);
            if (signal == SIGUSR2 && last == SIGUSR2) return 7;
        }
        return 1;
    }
    """, as: "signal-program")
