// What the headers need of compiler and system, said before anything else can go wrong.
#pragma once

#include <stdint.h>

#if defined(_MSVC_LANG)
#if _MSVC_LANG < 202002L
#error "tapegrad needs C++20: compile with /std:c++20"
#endif
#elif __cplusplus < 202002L
#error "tapegrad needs C++20: compile with -std=c++20"
#endif

#if UINTPTR_MAX < 0xffffffffffffffff
#error "tapegrad needs a 64-bit system: it reserves more address space than 32 bits have"
#endif

// Whether a Value checks that it is used in the thread that made it: in debug builds, unless it is
// defined to 0 or 1. All of a program must agree on it.
#if !defined(TAPEGRAD_CHECK_THREADS)
#if defined(NDEBUG)
#define TAPEGRAD_CHECK_THREADS 0
#else
#define TAPEGRAD_CHECK_THREADS 1
#endif
#endif

// Libraries of one process that are compiled with hidden visibility have one tape a thread all the
// same. With TAPEGRAD_OWN_TAPE defined, a library keeps its tapes for itself.
#if defined(__GNUC__) && !defined(_WIN32) && !defined(TAPEGRAD_OWN_TAPE)
#define TAPEGRAD_ONE_TAPE [[gnu::visibility("default")]]
#else
#define TAPEGRAD_ONE_TAPE
#endif
