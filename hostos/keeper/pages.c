#include "keeper.h"

static const char *const MISSING[] = {
    "Everything stands still. Put the stick back into this PC, into any",
    "USB socket, and your session goes on where it was.",
    "",
    "If you cannot: press the power button. The PC switches itself off",
    "at once. What was done since the session was last saved is then",
    "lost as by a power cut; what was saved is safe on the stick.",
    NULL,
};
static const char *const NOT_IT[] = {
    "Take it out. Put the stick that this PC was started with back,",
    "into any USB socket, and your session goes on where it was.",
    "",
    "If you cannot: press the power button. The PC switches itself off",
    "at once. What was done since the session was last saved is lost.",
    NULL,
};
static const char *const USED[] = {
    "Another PC was started with it, or it was written anew, while it",
    "was out. The session on this PC no longer fits what is on it, so",
    "nothing of it is written to the stick.",
    "",
    "Press the power button. The PC switches itself off at once.",
    NULL,
};
static const char *const FORGOT[] = {
    "This disk keeps what it is given in a cache, and loses that when",
    "it loses its power. The session cannot go on safely with what is",
    "left, so nothing more is written. What was saved last is safe.",
    "",
    "Press the power button, and start this PC with the stick again.",
    NULL,
};

/* Says what is known of the disk that is there in place of the stick. */
void say_verdict(enum verdict verdict)
{
    switch (verdict) {
    case ANOTHER:
        say("This is not the stick", NOT_IT);
        break;
    case USED_ELSEWHERE:
        say("The stick was used elsewhere", USED);
        break;
    case FORGETFUL:
        say("The stick cannot go on", FORGOT);
        break;
    default:
        say("The stick is missing", MISSING);
    }
}
