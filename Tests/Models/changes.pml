/* The journal of changes: each change that happened is told once, whoever is killed, and where.

   One shard, in which two changes are made that are told of, one that is not (a temporary file), and in which a
   reader counts again; beside it another shard, which appends to the same journal. Each may be killed between any
   two of its steps, CRASHES times in all, also while it recovers what another has left. The kernel frees locks.
   At the end somebody takes the mutex who is not killed.

   Named like the code: intent, mark, number, tell. A change happens in one step, or is taken back. With FAILS,
   telling may fail where the change was made: then the mark stays. With TRIM old records are trimmed.

   Precautions, each of which can be taken away:
     NO_NOTE        the number is not written before the record
     SCAN_TAIL      recovery looks at the last record in place of the one with the number
     CLEAR_FIRST    the mark is cleared before the change is told
     READER_CLEARS  a reader counts again and clears the mark, and does not recover
     UNTOLD_LAST    a change that is not told of leaves the intent before it
     TRIM_NAMED     records are trimmed that the intent of a marked shard names */

#ifndef CRASHES
#define CRASHES 2
#endif
#define MOST 8
#define LAST 9

byte mutex = 0, lock = 0;     /* who has it, 0: nobody */
bool marked = false;
/* The intent. */
byte intended = 0, counter = 0, number = 0;
bool known = false;           /* it has happened */
/* Which change the files show. */
byte shown = 0;
bool happened[4];
/* Records: of which shard, by which intent. Numbers begin with 1; those before `first` were trimmed. */
byte count = 0, first = 1;
byte shard[MOST], by[MOST];
byte told[4];                 /* how often each change was told: for the claims at the end alone */
byte crashes = 0;

#define CRASH \
    if \
    :: d_step { crashes < CRASHES -> crashes++; \
        if :: mutex == me -> mutex = 0 :: else fi; \
        if :: lock == me -> lock = 0 :: else fi } goto dead \
    :: skip \
    fi

/* Tells of the intent, unless that was done. `fresh`: by the one that has made the change. */
inline tell(fresh) {
    atomic { lock == 0 -> lock = me }
    CRASH;
    seen = false;
    if
    :: fresh -> skip
    :: else ->
#ifdef SCAN_TAIL
        seen = (count > 0 && shard[count] == 1 && by[count] == counter)
#elif defined(NO_NOTE)
        skip
#else
        seen = (number != 0 && number <= count
            && (number < first || (shard[number] == 1 && by[number] == counter)))
#endif
    fi;
    if
    :: seen -> skip
#ifdef FAILS
    :: !seen -> failed = true
#endif
    :: !seen ->
        next = count + 1;
#ifndef NO_NOTE
        number = next;
        CRASH;
#endif
        d_step { shard[next] = 1; by[next] = counter; told[intended]++; count = next }
    fi;
    CRASH;
    lock = 0
}

/* The first thing under the mutex. */
inline recover() {
    if
    :: marked && intended != 0 && (known || number != 0 || shown == intended) ->
        tell(false);
        if
        :: failed -> known = true
        :: else -> CRASH; marked = false
        fi
    :: marked && !(intended != 0 && (known || number != 0 || shown == intended)) ->
        CRASH;
        marked = false
    :: !marked -> skip
    fi
}

/* A change that is told of. */
proctype Change(byte me) {
    byte next = 0;
    bool seen = false, failed = false;
    atomic { mutex == 0 -> mutex = me }
    CRASH;
    recover();
    if :: failed -> goto leave :: else fi;
    d_step { intended = me; counter++; number = 0; known = false }
    CRASH;
    marked = true;
    CRASH;
    if
    :: d_step { shown = me; happened[me] = true }
    :: goto takeBack
    fi;
    CRASH;
#ifdef CLEAR_FIRST
    marked = false;
    CRASH;
    tell(true);
    goto leave;
#else
    tell(true);
    if :: failed -> known = true; goto leave :: else fi;
    CRASH;
#endif
takeBack:
    marked = false;
leave:
    CRASH;
    mutex = 0;
dead:
    skip
}

/* One that is not: a temporary file. */
proctype Untold(byte me) {
    byte next = 0;
    bool seen = false, failed = false;
    atomic { mutex == 0 -> mutex = me }
    CRASH;
    recover();
    if :: failed -> goto leave :: else fi;
#ifndef UNTOLD_LAST
    d_step { intended = 0; counter++; number = 0; known = false }
    CRASH;
#endif
    marked = true;
    CRASH;
#ifdef UNTOLD_LAST
    /* As if it were the last one's: its number is nobody's. */
    number = 0;
    CRASH;
#endif
    marked = false;
leave:
    CRASH;
    mutex = 0;
dead:
    skip
}

/* Counts the shard again. */
proctype Reader(byte me) {
    byte next = 0;
    bool seen = false, failed = false;
    atomic { mutex == 0 -> mutex = me }
    CRASH;
#ifdef READER_CLEARS
    marked = false;
#else
    recover();
#endif
    CRASH;
    mutex = 0;
dead:
    skip
}

/* Another shard's changes. */
proctype Other(byte me) {
    atomic { lock == 0 -> lock = me }
    CRASH;
    d_step { count++; shard[count] = 2; by[count] = 0 }
    CRASH;
#ifdef TRIM
    /* Under the journal's lock: nobody notes a number meanwhile. */
#ifdef TRIM_NAMED
    first = count;
#else
    if
    :: marked && number != 0 && number < count -> first = (number > first -> number : first)
    :: else -> first = count
    fi;
#endif
    CRASH;
#endif
    lock = 0;
dead:
    skip
}

proctype Last() {
    byte me = LAST, next = 0;
    bool seen = false, failed = false;
    (_nr_pr == 2);
    crashes = CRASHES;
again:
    atomic { mutex == 0 -> mutex = me }
    failed = false;
    recover();
    mutex = 0;
    if :: failed -> goto again :: else fi;
    assert(told[1] == happened[1] && told[2] == happened[2]);
dead:
    skip
}

init {
    atomic {
        run Last(); run Change(1); run Change(2); run Untold(3); run Other(4);
#ifdef TRIM
        run Other(6);
#else
        run Reader(5);
#endif
    }
}
