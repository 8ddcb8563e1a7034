/* What the harness and the inmate share: plain C, no code.
 *
 * The inmate is called with argv = {"inmate", ATTEMPT, PARAMETER...}, and answers in datagrams on
 * the socket RF_ANSWER_FD (AF_UNIX, SOCK_SEQPACKET), each a letter, a space and text ("W" and
 * "F" are letters alone):
 *
 *   B <attempt>                     the attempt begins
 *   C <nr> <ret> <a0> ... <a5>      a deciding syscall that was made: decimal number and value,
 *                                   hexadecimal arguments without 0x. After the remark "int80" the
 *                                   number is of the 32-bit table.
 *   S <bytes>                       what a read returned, up to RF_SECRET_MAX bytes
 *   T <text>                        a remark
 *   R achieved                      its own claim: it got through,
 *   R denied <errno>                was refused,
 *   R unable <errno>                or could not try
 *   F                               pass me a file: the harness answers with one byte and, when it
 *                                   could make one, a descriptor (SCM_RIGHTS); link_passed alone
 *   P <path> <mode>                 plant an image of the inmate, owned by the host's root, at this
 *                                   path of the target's root, with this octal mode; the harness
 *                                   answers with one byte; exec_planted alone
 *   N <whom>                        let a neighbour speak to this one ("b", "target"), to be
 *                                   overheard; the harness answers with one byte; sniff alone
 *   W                               inspect me now: the sender then waits for one byte, or the end,
 *                                   on the same socket, with everything that it holds still open
 *
 * and exits with RF_EXIT_DONE after the wait. Where the attempt is in another process (a new image,
 * a child in new namespaces), that process answers, with a B of its own if it is a new image, and
 * the first exits as it did. An unknown attempt exits with RF_EXIT_UNKNOWN after a remark. All of
 * it is the attacker's word: evidence of the weakest kind.
 */
#ifndef RINGFENCE_PROBES_INMATE_ABI_H
#define RINGFENCE_PROBES_INMATE_ABI_H

#define RF_ANSWER_FD 3 /* the answer socket */
#define RF_EXE_FD 4    /* the inmate's own image, for attempts that execute it again */
#define RF_GIVEN_FD 5  /* a descriptor that the case passes in on purpose */

#define RF_MESSAGE_MAX 1024
#define RF_SECRET_MAX 900

#define RF_EXIT_DONE 0
#define RF_EXIT_UNKNOWN 64
#define RF_EXIT_MUTE 65  /* the answer could not be written */
#define RF_EXIT_CHILD 66 /* the process that was to answer was killed; a remark says by what */

#endif
