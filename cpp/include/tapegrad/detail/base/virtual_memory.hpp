// A range of address space that is paid for page by page: node indices stay valid while it grows.
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
// Declared as <windows.h> does, which would bring thousands of macros.
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

class VirtualMemory {
 public:
  static constexpr std::size_t huge_page = std::size_t{2} << 20;

  VirtualMemory() = default;
  VirtualMemory(const VirtualMemory&) = delete;
  VirtualMemory& operator=(const VirtualMemory&) = delete;
  ~VirtualMemory() { release(); }

  // False, with nothing changed, where the system refuses so much.
  bool reserve(std::size_t bytes) noexcept {
#if defined(_WIN32)
    void* address = windows::VirtualAlloc(nullptr, bytes, windows::reserve, windows::no_access);
    if (address == nullptr) return false;
#else
    bytes += huge_page;  // not every system begins where a huge page can
    void* address = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) return false;
#endif
    hold(address, bytes);
#if !defined(_WIN32)
    base_ += -reinterpret_cast<std::uintptr_t>(base_) % huge_page;
#endif
    return true;
  }

  // The same, all of it usable and zero at once: each page is there when it is first touched. Those
  // far from `begin`, where use is to begin, are huge.
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

  // Makes the bytes from `from` to `to` usable and zero.
  bool commit(std::size_t from, std::size_t to) noexcept {
#if defined(_WIN32)
    return windows::VirtualAlloc(base_ + from, to - from, windows::commit, windows::read_write) !=
           nullptr;
#else
    if (mprotect(base_ + from, to - from, PROT_READ | PROT_WRITE) != 0) return false;
#if defined(MADV_HUGEPAGE)
    // The first pages stay small: a program of few nodes should not pay for two megabytes more.
    if (from >= small_for_nodes) madvise(base_ + from, to - from, MADV_HUGEPAGE);
#endif
    return true;
#endif
  }

  // Gives the pages from `from` to `to` back to the system: they must be committed before they are
  // used again, and are zero then. A page that lies in part before `from` goes as well if `first`
  // says that nobody uses that part, and one at the end if `last` does.
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
    // Elsewhere the advice alone leaves the pages in place.
    mmap(base_ + from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
         -1, 0);
#endif
  }

  // Has the pages from `from` to `to` there before they are touched, where the system knows how:
  // many together cost half of as many one by one.
  void touch([[maybe_unused]] std::size_t from, [[maybe_unused]] std::size_t to) noexcept {
#if defined(MADV_POPULATE_WRITE)
    from &= ~(page() - 1);
    madvise(base_ + from, to - from, MADV_POPULATE_WRITE);
#endif
  }

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
  // Bytes at the beginning of use that lie in small pages.
  static constexpr std::size_t small_for_nodes = std::size_t{16} << 20;
  static constexpr std::size_t small_for_traces = std::size_t{2} << 20;

  static std::size_t page() noexcept {
#if defined(_WIN32)
    return 4096;
#else
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#endif
  }

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

// An array of records on pages of its own, `skew` bytes past the first one's begin.
template <class Record, std::size_t skew>
class VirtualArray {
 public:
  // As of VirtualMemory, in records.
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
  // The last record may end on a page more: a huge one, that it may be one once it is touched.
  static constexpr std::size_t end(std::size_t count) noexcept {
    return count * sizeof(Record) + (skew != 0 ? VirtualMemory::huge_page : 0);
  }

  VirtualMemory pages_;
  Record* records_ = nullptr;
};

}  // namespace tapegrad
