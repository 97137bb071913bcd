/* Put before every source of llama.cpp when it is compiled (see the Makefile).
 *
 * GCC's own _tile_loadconfig tells the optimiser that 8 of the 64 bytes of a tile configuration are read. GCC 12 then
 * drops the stores to the others, and on processors with AMX the first batch ends in a general protection fault.
 */
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])(config)))
#endif
