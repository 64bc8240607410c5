// The Python object for a number of a recording: what a function sees inside a transform.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/lines.hpp"
#include "tapegrad/detail/ir/recording.hpp"
#include "traced/dependence.hpp"
#include "value/handle.hpp"

namespace tapegrad::python {

// Lines of Python that must not be forgotten. Forgets them, and their files, with the last lease.
class SourceLease {
 public:
  SourceLease() = default;
  SourceLease(const SourceLease& other);
  SourceLease& operator=(const SourceLease&) = delete;
  ~SourceLease() { clear(); }

  // The line that runs now in `code`, which lives as long as the lease: looked up once.
  std::uint32_t of(PyObject* code, int line);
  void clear();

 private:
  std::map<std::pair<PyObject*, int>, std::uint32_t> known_;
  std::vector<std::uint32_t> sources_;
};

// A recording as Python has it open. Never destroyed, but used again: numbers that outlive it can
// tell by its id, which every opening changes.
struct OpenRecording : Recording {
  OpenRecording();
  std::uint64_t id = 0;
  std::uint64_t open_id = 0;  // its id while it is open, else 0
  SourceLease sources;        // of its guards
  Dependence dependence;
  // What may be forgotten again: where it begins, the constants there are before it, and how many
  // numbers of it Python still has.
  struct RollbackScope {
    ValueId begin;
    std::size_t constants;
    std::uint32_t alive;
  };
  std::vector<RollbackScope> passing{{0, 0, 0}};
  Lines lines;  // of what was recorded while detect_anomaly() was on

  std::uint32_t begin_passing() {
    passing.push_back({size(), constants().size(), 0});
    return static_cast<std::uint32_t>(passing.size() - 1);
  }
  // Forgets what was recorded since, unless a number of it is alive or a guard may ask for it.
  void end_passing(std::uint32_t level) {
    if (guarding) return;
    for (std::size_t k = level; k < passing.size(); ++k)
      if (passing[k].alive != 0) return;
    rewind(passing[level].begin, passing[level].constants);
    lines.rewind(passing[level].begin);
    dependence.forget_from(passing[level].begin);
    passing.resize(level);
  }
};

struct Traced {
  PyObject_HEAD
  OpenRecording* recording;
  std::uint64_t id;
  ValueId place;
  std::uint32_t level;  // of what may be forgotten, it belongs to this
};

inline PyTypeObject* traced_type = nullptr;

inline bool is_traced(PyObject* object) { return Py_TYPE(object) == traced_type; }
inline Traced* as_traced(PyObject* object) { return reinterpret_cast<Traced*>(object); }

// Whether its recording is still open; else false with a RuntimeError set.
bool is_alive(const Traced* traced);
inline double primal_of(const Traced* traced) { return traced->recording->primal(traced->place); }

// A new object for a place of the recording. Null with an error set.
PyObject* traced_at(OpenRecording& recording, ValueId place);
// The same for a symbol of it; a float for a constant.
PyObject* object_of(OpenRecording& recording, const Symbol& symbol);

// The symbol of a traced number, or of a plain one; `unknown` sets no error. `recording` becomes
// the number's; a number of another one is an error.
Reading read_symbol(PyObject* object, OpenRecording*& recording, Symbol& symbol);

// An operation of the table on symbols, of which one at least is traced: a new object.
PyObject* apply_to_symbols(std::size_t k, OpenRecording& recording, std::span<const Symbol> x);

// What Python is told of x and y, kept as a guard where the recording asks for that.
double told(OpenRecording& recording, Guard::Kind kind, ValueId x, ValueId y = no_value);
inline double answer(const Traced* traced, Guard::Kind kind) {
  return told(*traced->recording, kind, traced->place);
}

// Whether it is a whole number, of which Python is told.
bool tells_whole(Traced* traced);

// A new object for the result of an operation, which no_grad() cuts off from its operands.
PyObject* result_at(OpenRecording& recording, ValueId place);
// Null, with TypeError set, for arguments of which no operation can be recorded.
PyObject* set_mixed(const char* function);

// The line of Python that runs now, as a number that `source_text` knows while a lease has it: the
// open recording's, and those of the programs made of it.
std::uint32_t source_here();
std::string source_text(std::uint32_t source);

// Lets symbols be recorded there for as long as it lives.
class RecordingIn {
 public:
  explicit RecordingIn(Recording& recording)
      : before_(std::exchange(Recording::current, &recording)) {}
  RecordingIn(const RecordingIn&) = delete;
  RecordingIn& operator=(const RecordingIn&) = delete;
  ~RecordingIn() { Recording::current = before_; }

 private:
  Recording* before_;
};

}  // namespace tapegrad::python
