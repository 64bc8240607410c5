// A reserved range of addresses whose pages are committed on demand and never move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "tapegrad/detail/base/platform.hpp"

#if !defined(_WIN32)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace tapegrad {

#if defined(_WIN32)
// Declared here as in <windows.h>, which would define thousands of macros.
namespace windows {
extern "C" {
__declspec(dllimport) void* __stdcall VirtualAlloc(void*, std::size_t, unsigned long,
                                                   unsigned long);
__declspec(dllimport) int __stdcall VirtualFree(void*, std::size_t, unsigned long);
}
inline constexpr unsigned long commit = 0x1000, reserve = 0x2000;    // MEM_
inline constexpr unsigned long decommit = 0x4000, release = 0x8000;  // MEM_
inline constexpr unsigned long no_access = 0x01, read_write = 0x04;  // PAGE_
}  // namespace windows
#endif

// Owns a reserved range of addresses. A range never moves, so pointers and indices into it stay
// valid while the committed part grows.
class VirtualMemory {
 public:
  static constexpr std::size_t huge_page = std::size_t{2} << 20;

  VirtualMemory() = default;
  VirtualMemory(const VirtualMemory&) = delete;
  VirtualMemory& operator=(const VirtualMemory&) = delete;
  ~VirtualMemory() { release(); }

  // Reserves `bytes` of addresses without memory. Returns false and changes nothing if the system
  // refuses.
  bool reserve(std::size_t bytes) noexcept {
#if defined(_WIN32)
    void* address = windows::VirtualAlloc(nullptr, bytes, windows::reserve, windows::no_access);
    if (address == nullptr) return false;
#else
    bytes += huge_page;  // not every system aligns a mapping to huge pages
    void* address = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) return false;
#endif
    hold(address, bytes);
#if !defined(_WIN32)
    base_ += -reinterpret_cast<std::uintptr_t>(base_) % huge_page;
#endif
    return true;
  }

  // Reserves `bytes` of addresses that are usable at once and read as zero. The system adds each
  // page on first access. Use starts at `begin`; pages far from it are huge. Returns false and
  // changes nothing if the system refuses.
  bool reserve_usable(std::size_t bytes, [[maybe_unused]] std::size_t begin = 0) noexcept {
#if defined(_WIN32)
    void* address = windows::VirtualAlloc(nullptr, bytes, windows::reserve | windows::commit,
                                          windows::read_write);
    if (address == nullptr) return false;
#else
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) return false;
#if defined(MADV_HUGEPAGE)
    const auto huge = [&](std::size_t from, std::size_t to) {
      madvise(static_cast<std::byte*>(address) + from, to - from, MADV_HUGEPAGE);
    };
    begin &= ~(page() - 1);
    if (begin > small_for_traces) huge(0, begin - small_for_traces);
    if (begin + small_for_traces < bytes) huge(begin + small_for_traces, bytes);
#endif
#endif
    hold(address, bytes);
    return true;
  }

  // Makes the bytes from `from` to `to` usable; they read as zero. Returns false if the system
  // refuses.
  bool commit(std::size_t from, std::size_t to) noexcept {
#if defined(_WIN32)
    return windows::VirtualAlloc(base_ + from, to - from, windows::commit, windows::read_write) !=
           nullptr;
#else
    if (mprotect(base_ + from, to - from, PROT_READ | PROT_WRITE) != 0) return false;
#if defined(MADV_HUGEPAGE)
    // The first pages stay small, so that a program of few nodes does not use another 2 MB.
    if (from >= small_for_nodes) madvise(base_ + from, to - from, MADV_HUGEPAGE);
#endif
    return true;
#endif
  }

  // Returns the pages from `from` to `to` to the system. They must be committed before their next
  // use and then read as zero. If the range begins within a page, that page goes too if `first`
  // says that nobody uses the part before `from`; `last` says the same of the page at the end.
  void decommit(std::size_t from, std::size_t to, bool first, bool last) noexcept {
    const std::size_t size = page();
    const auto up = [size](std::size_t n) { return (n + size - 1) / size * size; };
    from = first ? from / size * size : up(from);
    to = last ? up(to) : to / size * size;
    if (from >= to) return;
#if defined(_WIN32)
    windows::VirtualFree(base_ + from, to - from, windows::decommit);
#elif defined(__linux__)
    madvise(base_ + from, to - from, MADV_DONTNEED);
#else
    // On other systems, advice alone would leave the pages in place.
    mmap(base_ + from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
         -1, 0);
#endif
  }

  // Populates the pages from `from` to `to` before their first access, if the system can.
  // Populating many pages together takes half the time of one page fault each.
  void touch([[maybe_unused]] std::size_t from, [[maybe_unused]] std::size_t to) noexcept {
#if defined(MADV_POPULATE_WRITE)
    from &= ~(page() - 1);
    madvise(base_ + from, to - from, MADV_POPULATE_WRITE);
#endif
  }

  // Unmaps the range.
  void release() noexcept {
    if (base_ == nullptr) return;
#if defined(_WIN32)
    windows::VirtualFree(mapped_, 0, windows::release);
#else
    munmap(mapped_, bytes_);
#endif
    base_ = nullptr;
  }

  std::byte* base() const noexcept { return base_; }

 private:
  // Number of bytes, from the start of use, that lie in small pages.
  static constexpr std::size_t small_for_nodes = std::size_t{16} << 20;
  static constexpr std::size_t small_for_traces = std::size_t{2} << 20;

  static std::size_t page() noexcept {
#if defined(_WIN32)
    return 4096;
#else
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#endif
  }

  // Takes the mapping over and releases the one before.
  void hold(void* address, std::size_t bytes) noexcept {
    release();
    mapped_ = address;
    bytes_ = bytes;
    base_ = static_cast<std::byte*>(address);
  }

  void* mapped_ = nullptr;
  std::size_t bytes_ = 0;
  std::byte* base_ = nullptr;
};

// An array of records in a range of its own. The first record lies `skew` bytes after the start.
template <class Record, std::size_t skew>
class VirtualArray {
 public:
  // As in VirtualMemory, with positions in records.
  bool reserve(std::size_t count) noexcept {
    if (!pages_.reserve(end(count))) return false;
    records_ = reinterpret_cast<Record*>(pages_.base() + skew);
    return true;
  }
  bool commit(std::size_t from, std::size_t to) noexcept {
    return pages_.commit(from * sizeof(Record), end(to));
  }
  void decommit(std::size_t from, std::size_t to, bool first, bool last) noexcept {
    pages_.decommit(skew + from * sizeof(Record), skew + to * sizeof(Record), first, last);
  }

  Record* records() const noexcept { return records_; }

 private:
  // The end of `count` records, in bytes. With a skew, the last record may end in one page more.
  // That page is counted as a huge one, so that the system can make it huge.
  static constexpr std::size_t end(std::size_t count) noexcept {
    return count * sizeof(Record) + (skew != 0 ? VirtualMemory::huge_page : 0);
  }

  VirtualMemory pages_;
  Record* records_ = nullptr;
};

}  // namespace tapegrad
