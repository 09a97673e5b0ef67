/* The claim protocol for one key: what Sources/FlockCache/Claims does, a step for each system call.
 *
 *   name, pending   the generation in NAME and in NAME.pending, 0 where there is no such file
 *   whole           whether the record in NAME.pending is whole
 *   mutex           who has the shard mutex; the kernel drops it when its process dies
 *
 * Three workers claim, then finalize or abandon; a reader looks up; a reaper reaps; a remover removes.
 * At every CRASH a process may die. Asserted: at most one live claim that nobody has fenced off,
 * generations that only rise, a READY value that only a remover makes go away, a reader that never calls
 * a READY or PENDING key absent.
 *
 * Each -D below takes one precaution away, and then the model must fail:
 *   NO_MUTEX NO_SECOND_LOOK NO_THIRD_LOOK NO_GENERATION UNLINK_FIRST NAME_FIRST
 *
 * BLOCK: the second look is left out where the shard's block is what it was before the first. OTHERS also claims,
 * finalizes and removes another key of the shard, so that the counts can come back. Then these must fail:
 *   SEE_LATE ONLY_COUNTS ONLY_HIGHEST NO_RECOUNT
 */
#ifndef CRASHES
#define CRASHES 1
#endif
#define WORKERS 3

byte name = 0, pending = 0, holder = 0; bool whole = false;
byte mutex = 0, highest = 0, crashes = 0;
bool alive[5], expired[5];         /* expired: the claim's --stale-after is over */
byte mine[5];                     /* the claim that a worker believes it has */
byte won = 0;                     /* highest generation won so far */
byte ready = 0;                   /* highest generation that was READY */
byte absences = 1;                /* how often the key was absent; it begins so */
bool removed = false;

#define ABSENT (name == 0 && pending == 0)
#define STALE (!whole || !alive[holder] || expired[holder])
#define MAX(a, b) (a > b -> a : b)

#ifdef NO_MUTEX
#define LOCK skip
#define UNLOCK skip
#else
#define LOCK atomic { mutex == 0 -> mutex = me }
#define UNLOCK atomic { if :: mutex == me -> mutex = 0 :: else fi }
#endif

#ifdef BLOCK
/* The block: marked, claims, values; `highest` is of it too. The others are of another key. */
bool marked = false; byte claims = 0, values = 0, others_pending = 0, others_ready = 0;
#define COUNT claims = others_pending + (pending != 0 && pending > name -> 1 : 0); \
    values = others_ready + (name != 0 -> 1 : 0)
#define BEGIN marked = true
#define COMMIT d_step { COUNT; marked = false }
#ifdef NO_RECOUNT
#define RECOUNT marked = false
#else
#define RECOUNT if :: d_step { marked -> COUNT; marked = false; seen_mark = true } :: else fi
#endif
#define SEE d_step { seen_highest = highest; seen_claims = claims; seen_values = values; \
    seen_mark = marked }
#ifdef ONLY_COUNTS
#define SAME (!seen_mark && seen_claims == claims && seen_values == values)
#else
#ifdef ONLY_HIGHEST
#define SAME (!seen_mark && seen_highest == highest)
#else
#define SAME (!seen_mark && seen_highest == highest && seen_claims == claims && seen_values == values)
#endif
#endif
#define SEEN byte seen_highest, seen_claims, seen_values; bool seen_mark
#else
#define BEGIN skip
#define COMMIT skip
#define RECOUNT skip
#define SEE skip
#define SAME false
#define SEEN skip
#endif

#define CRASH if :: d_step { crashes < CRASHES -> crashes++; alive[me] = false; mine[me] = 0; \
    if :: mutex == me -> mutex = 0 :: else fi }; goto dead :: skip fi

inline count_absence() { if :: ABSENT -> absences++ :: else fi }

/* A win: the key is not READY, and nobody who lives believes in another claim of it that is not fenced
 * off. */
inline win(g) {
    d_step {
        assert(name == 0); assert(g > won); assert(g > ready); won = g; mine[me] = g;
        other = 1;
        do
        :: other <= WORKERS ->
            assert(other == me || mine[other] == 0 || !alive[other] || expired[other]); other++
        :: else -> break
        od; other = 0
    }
}

proctype Worker(byte me) {
    byte g = 0, other = 0;
    SEEN;
    alive[me] = true;

    /* claim: look without the mutex, then with it */
#ifndef SEE_LATE
    SEE;
#endif
    if :: name != 0 -> goto done :: else fi;
#ifdef SEE_LATE
    SEE;
#endif
    if :: d_step { pending != 0 && !STALE } -> goto done :: else fi;
    CRASH; LOCK; CRASH; RECOUNT;
#ifndef NO_SECOND_LOOK
    if :: SAME :: else -> if :: name != 0 -> UNLOCK; goto done :: else fi fi;
#endif
    g = MAX(highest, pending) + 1;
    d_step { highest = g; BEGIN };                  /* the mark, with the generation */
    CRASH;
    if
    :: pending != 0 && !STALE -> COMMIT; UNLOCK; goto done
    :: pending != 0 && STALE ->                     /* take-over */
#ifdef UNLINK_FIRST
        pending = 0;                                /* yet nobody gave the key up */
        CRASH;
        d_step { pending = g; whole = false; holder = 0 }
        CRASH;
        d_step { whole = true; holder = me }
#else
        d_step { pending = g; whole = true; holder = me }
#endif
    :: pending == 0 ->                              /* create, then write */
        d_step { pending = g; whole = false; holder = 0 }
        CRASH;
        d_step { whole = true; holder = me }
    fi;
    win(g);
    CRASH; COMMIT; UNLOCK; CRASH;
    if :: expired[me] = true :: skip fi;

    if
    :: /* finalize, small: append and rename */
        LOCK; CRASH; RECOUNT;
#ifndef NO_GENERATION
        if :: pending != mine[me] || !whole -> mine[me] = 0; UNLOCK; goto done :: else fi;
#endif
        BEGIN; CRASH;
        d_step { assert(pending >= ready); name = pending; pending = 0; whole = false;
                 ready = name; mine[me] = 0 }
        CRASH; COMMIT; UNLOCK
    :: /* finalize, large: rename another file to NAME, then unlink the claim */
        LOCK; CRASH; RECOUNT;
#ifndef NO_GENERATION
        if :: pending != mine[me] || !whole -> mine[me] = 0; UNLOCK; goto done :: else fi;
#endif
        BEGIN; CRASH;
        d_step { assert(mine[me] >= ready); name = mine[me]; ready = name; mine[me] = 0 }
        CRASH;
        d_step { pending = 0; whole = false }
        CRASH; COMMIT; UNLOCK
    :: /* abandon */
        LOCK; CRASH; RECOUNT; BEGIN;
        if
        :: d_step { pending == mine[me] && pending > name -> pending = 0; whole = false;
                    count_absence() }
        :: else
        fi;
        mine[me] = 0;
        CRASH; COMMIT; UNLOCK
    fi;
done: skip;
dead: skip
}

proctype Reaper() {
    byte me = 4;
    SEEN;
    LOCK; RECOUNT; BEGIN;
    if
    :: d_step { pending != 0 && (STALE || (name != 0 && pending <= name)) ->
                pending = 0; whole = false; count_absence() }
    :: else
    fi;
    COMMIT; UNLOCK
}

proctype Remover() {
    byte me = 4;
    SEEN;
    LOCK; RECOUNT; BEGIN;
    if
    :: name != 0 ->
#ifdef NAME_FIRST
        d_step { name = 0; removed = true; count_absence() }
        CRASH;
        d_step { pending = 0; whole = false; count_absence() }
#else
        d_step { pending = 0; whole = false }
        CRASH;
        d_step { name = 0; removed = true; count_absence() }
#endif
    :: else
    fi;
    COMMIT; UNLOCK;
dead: skip
}

#ifdef OTHERS
/* Changes of another key of the shard, each whole under the mutex; what a killed one left is counted first. */
proctype Others() {
    atomic { mutex == 0 -> highest++; others_pending++; COUNT; marked = false }
    atomic { mutex == 0 -> others_pending--; others_ready++; COUNT; marked = false }
    atomic { mutex == 0 -> others_ready--; COUNT; marked = false }
}
#endif

proctype Reader() {
    byte before; bool was_absent;
    d_step { before = absences; was_absent = ABSENT }
    if :: name != 0 -> goto found :: else fi;
    if :: pending != 0 -> goto found :: else fi;
#ifndef NO_THIRD_LOOK
    if :: name != 0 -> goto found :: else fi;
#endif
    d_step { assert(was_absent || absences != before) }
found: skip
}

/* An old claim never comes back to life, and a value goes away only when it is removed. */
proctype Monitor() {
end:
    atomic { ((ready != 0 && name == 0 && !removed) ||
              (removed && name == 0 && pending != 0 && whole && pending <= ready)) -> assert(false) }
}

init {
    atomic {
        run Worker(1); run Worker(2);
#ifdef THREE
        run Worker(3);
#endif
#ifdef REAPER
        run Reaper();
#endif
#ifdef REMOVER
        run Remover();
#endif
#ifdef OTHERS
        run Others();
#endif
#ifdef READER
        run Reader();
#endif
        run Monitor()
    }
}
