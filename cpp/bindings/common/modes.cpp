// Counters of the entries of threads into modes.
#include "common/modes.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/allocation.hpp"
#include "module.hpp"
#include "value/handle.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

// The counters of a thread. All but `ended` are read and written with the GIL only. A block may be
// left in another thread than the one that entered it, even after the end of that thread. The
// counters are therefore shared.
struct Counts {
  std::array<std::size_t, 2> of{};
  std::size_t suspended = 0;  // number of entries into no_grad without effect
  std::atomic<bool> ended = false;

  std::size_t& operator[](Mode mode) { return of[static_cast<std::size_t>(mode)]; }
  bool any() const { return of[0] + of[1] != 0; }
};
using SharedCounts = std::shared_ptr<Counts>;

// The counters of all threads that have a mode on.
std::vector<SharedCounts>& all_on() {
  static auto& counts = *new std::vector<SharedCounts>;
  return counts;
}

// Set when a thread ends, which happens without the GIL. The modes of that thread end with it.
std::atomic<bool> some_ended = false;

// Removes threads without a mode, and recomputes `watching` and the fast path.
void count_again() {
  std::erase_if(all_on(),
                [](const SharedCounts& counts) { return counts->ended.load() || !counts->any(); });
  watching = !all_on().empty();
  update_fast_path();
}

// The counters of this thread, created when it first enters a mode.
struct Own {
  ~Own() {
    if (counts == nullptr) return;
    counts->ended = true;
    some_ended = true;
  }
  SharedCounts counts;
};
thread_local Own own;
thread_local constinit Counts* own_counts = nullptr;  // a plain pointer to the same, cheap to read

SharedCounts counts_here() {
  if (own.counts == nullptr) {
    own.counts = std::make_shared<Counts>();
    own_counts = own.counts.get();
  }
  return own.counts;
}

Mode mode_named(const std::string& name) {
  if (name == "no_grad") return Mode::no_grad;
  if (name == "detect_anomaly") return Mode::anomaly;
  throw py::value_error("there is no mode '" + name + "'");
}

// The entries of one Python object into a mode, each with the thread's counters.
class Entries {
 public:
  explicit Entries(const std::string& name) : name_(name), mode_(mode_named(name)) {}

  void enter() {
    SharedCounts counts = counts_here();
    entries_.reserve(entries_.size() + 1);
    if (!counts->any()) all_on().push_back(counts);
    ++(*counts)[mode_];
    entries_.push_back(std::move(counts));
    count_again();
  }

  // Removes this thread's last entry. If it has none, as when it finishes a generator of another
  // thread, removes the last entry of any thread.
  void leave() {
    if (entries_.empty()) throw std::runtime_error(name_ + " is left, but was not entered");
    auto last = std::find_if(entries_.rbegin(), entries_.rend(),
                             [](const SharedCounts& counts) { return counts.get() == own_counts; });
    if (last == entries_.rend()) last = entries_.rbegin();
    --(**last)[mode_];
    if (mode_ == Mode::no_grad)  // the entry may have been suspended
      (*last)->suspended = std::min((*last)->suspended, (**last)[mode_]);
    entries_.erase(std::next(last).base());
    count_again();
  }

 private:
  std::string name_;
  Mode mode_;
  std::vector<SharedCounts> entries_;
};

// Ends the modes of all other threads. After a fork, this thread is the only one.
void forget_other_threads() {
  for (const SharedCounts& counts : all_on())
    if (counts.get() != own_counts) counts->ended = true;
  count_again();
}

// Suspends this thread's entries into no_grad, but not later ones. Returns the number of entries
// suspended before, for resume_no_grad(). The entries stay counted, since they may be left
// meanwhile.
std::size_t suspend_no_grad() {
  if (own_counts == nullptr) return 0;
  return std::exchange(own_counts->suspended, (*own_counts)[Mode::no_grad]);
}

void resume_no_grad(std::size_t suspended) {
  if (own_counts != nullptr) own_counts->suspended = suspended;
}

}  // namespace

bool is_on(Mode mode) {
  if (some_ended.load(std::memory_order_relaxed) && some_ended.exchange(false)) count_again();
  if (own_counts == nullptr) return false;
  return (*own_counts)[mode] > (mode == Mode::no_grad ? own_counts->suspended : 0);
}

void register_modes(py::module_& module) {
  py::class_<Entries>(module, "ModeEntries", checked_allocation(),
                      "The entries of a context manager into a mode.")
      .def(py::init<const std::string&>(), py::arg("name"))
      .def("enter", &Entries::enter, "Enter the mode in this thread, once more.")
      .def("leave", &Entries::leave,
           "Leave the mode: this thread's last entry or, if it has none, the last of any thread.");
  module.def("forget_other_threads", forget_other_threads,
             "End the modes of other threads, which do not exist in a forked child.");
  module.def("suspend_no_grad", suspend_no_grad,
             "Suspend no_grad in this thread; return the argument for resume_no_grad().");
  module.def("resume_no_grad", resume_no_grad, py::arg("suspended"), py::pos_only());
  module.def(
      "some_mode_is_on", [] { return watching; },
      "Return True if a thread is in a mode, so that operations check for theirs.");
}

}  // namespace tapegrad::python
