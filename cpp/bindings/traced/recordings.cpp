// The Python interface of recordings: inputs, sweeps, rules and programs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "common/allocation.hpp"
#include "common/references.hpp"
#include "module.hpp"
#include "tapegrad/detail/ir/derivative.hpp"
#include "tapegrad/detail/ir/passes/simplify.hpp"
#include "traced/anomalies.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

using Numbers = std::vector<py::object>;

// Closed recordings for reuse.
std::vector<OpenRecording*> spare;
std::uint64_t last_id = 0;

Symbol symbol_of(py::handle object, OpenRecording* recording) {
  Symbol symbol;
  OpenRecording* found = recording;
  switch (read_symbol(object.ptr(), found, symbol)) {
    case Reading::ok:
      return symbol;
    case Reading::unknown:
      throw py::type_error(std::string("expected a number, not '") +
                           Py_TYPE(object.ptr())->tp_name + "'");
    case Reading::error:
      break;
  }
  throw py::error_already_set();
}

py::object object(OpenRecording& recording, const Symbol& symbol) {
  return owned(object_of(recording, symbol));
}
py::object object(OpenRecording&, double number) { return py::float_(number); }

// A scope whose instructions are rolled back at its end, unless Python keeps one of their values or
// the recording has guards.
class RollbackScope {
 public:
  explicit RollbackScope(OpenRecording& recording)
      : recording_(recording), level_(recording.begin_passing()) {}
  RollbackScope(const RollbackScope&) = delete;
  RollbackScope& operator=(const RollbackScope&) = delete;
  ~RollbackScope() { recording_.end_passing(level_); }

 private:
  OpenRecording& recording_;
  std::uint32_t level_;
};

// A scope for the function of a rule that computes with plain numbers. The open transforms do not
// differentiate it, so that no conversion to a constant loses a derivative.
class Ruling {
 public:
  explicit Ruling(OpenRecording& recording) : recording_(recording) {
    recording_.dependence.begin_rule(false);
  }
  Ruling(const Ruling&) = delete;
  Ruling& operator=(const Ruling&) = delete;
  ~Ruling() { recording_.dependence.end_rule(); }

 private:
  OpenRecording& recording_;
};

// A rule made of two Python functions. Each takes a list of numbers, a list of flags that tell
// which of these are present, and a flag that asks for recording.
struct PythonRule : Rule {
  PythonRule(py::object pull, py::object push, bool forward, std::size_t operands,
             std::size_t outputs)
      : puller(std::move(pull)),
        pusher(std::move(push)),
        forward(forward),
        operands(operands),
        outputs(outputs) {}

  std::vector<Symbol> pull(std::span<const Symbol> cotangents, const std::vector<bool>& present,
                           bool record) override {
    return call(puller, cotangents, present, operands, record);
  }
  std::vector<Symbol> push(std::span<const Symbol> tangents, const std::vector<bool>& present,
                           bool record) override {
    return call(pusher, tangents, present, outputs, record);
  }

  bool goes_forward() const override { return forward; }

  static std::vector<Symbol> call(const py::object& function, std::span<const Symbol> given,
                                  const std::vector<bool>& present, std::size_t count,
                                  bool record) {
    auto& recording = static_cast<OpenRecording&>(*Recording::current);
    std::optional<RollbackScope> passing;
    std::optional<Ruling> ruling;
    if (!record) {
      passing.emplace(recording);
      ruling.emplace(recording);
    }
    std::vector<Symbol> results;
    {
      py::list numbers;
      for (const Symbol& symbol : given) numbers.append(object(recording, symbol));
      const py::object answer = function(numbers, present, record);
      for (const py::handle number : answer) {
        const Symbol symbol = symbol_of(number, &recording);
        results.push_back(record ? symbol : Symbol(symbol.primal()));
      }
    }
    if (results.size() != count)
      throw py::value_error("a custom rule returned a wrong number of results");
    return results;
  }

  py::object puller, pusher;
  bool forward;
  std::size_t operands, outputs;
};

// A program, and a lease on the lines of its guards.
struct RecordedProgram : Program {
  RecordedProgram(Program program, const SourceLease& sources)
      : Program(std::move(program)), sources(sources) {}
  SourceLease sources;
};

// The Python object for a recording. The recording is open until close(); sweeps can use it until
// this object is destroyed.
class RecordingObject {
 public:
  explicit RecordingObject(bool guarding) {
    if (Recording::current != nullptr)
      throw std::runtime_error("this thread has an open recording already");
    if (spare.empty()) spare.push_back(new OpenRecording);
    recording_ = spare.back();
    spare.pop_back();
    recording_->id = recording_->open_id = ++last_id;
    recording_->guarding = guarding;
    recording_->passing.assign(1, {0, 0, 0});
    recording_->dependence.clear();
    Recording::current = recording_;
    current = this;
  }
  RecordingObject(const RecordingObject&) = delete;
  RecordingObject& operator=(const RecordingObject&) = delete;
  ~RecordingObject() {
    close();
    recording_->id = 0;
    recording_->clear();
    recording_->sources.clear();
    recording_->lines.clear();
    spare.push_back(recording_);
  }

  void close() {
    recording_->open_id = 0;
    recording_->dependence.clear();
    if (Recording::current == recording_) {
      Recording::current = nullptr;
      current = nullptr;
    }
  }

  OpenRecording& operator*() { return *recording_; }

  ValueId place_of(py::handle number) const {
    if (!is_traced(number.ptr()) || as_traced(number.ptr())->id != recording_->id)
      throw py::value_error("not a traced number of this recording");
    return as_traced(number.ptr())->place;
  }

  // Creates variables that equal the numbers. They belong to `transforms` nested transforms, open
  // until close_transforms(). With 0 transforms in a recording with guards, they are the inputs of
  // the compiled function.
  Numbers inputs(const Numbers& numbers, std::size_t transforms) {
    Numbers made;
    const ValueId first = recording_->size();
    for (const py::object& number : numbers) {
      const Symbol x = symbol_of(number, recording_);
      const ValueId place = x.is_constant() ? recording_->input(x.primal())
                                            : recording_->record<op<"copy">()>(x.place());
      made.push_back(object(*recording_, Symbol::at(*recording_, place)));
    }
    if (transforms == 0 && recording_->guarding)
      recording_->dependence.set_inputs(first, recording_->size());
    for (std::size_t k = 0; k < transforms; ++k)
      recording_->dependence.open(first, recording_->size());
    return made;
  }

  // Runs `sweep(zero, recording)`. With `record`, the sweep computes with symbols of this thread's
  // open recording; otherwise it computes with doubles. `zero` is a number of that type.
  template <class Sweep>
  auto derive(bool record, Sweep sweep) {
    if (record && Recording::current == nullptr)
      throw std::runtime_error("nothing is recorded: no recording is open");
    if (record) {
      auto& in = static_cast<OpenRecording&>(*Recording::current);
      const SweepLines lines(in, *recording_);
      return sweep(Symbol(), in);
    }
    // A scope that opens this recording again. During the sweep, rules may record after its end,
    // and must not open a recording of their own.
    struct Again {
      explicit Again(RecordingObject& opened)
          : recording(*opened),
            in(recording),
            was(std::exchange(recording.open_id, recording.id)),
            before(std::exchange(current, &opened)) {}
      ~Again() {
        recording.open_id = was;
        current = before;
      }
      OpenRecording& recording;
      RecordingIn in;
      std::uint64_t was;
      RecordingObject* before;
    } again(*this);
    return sweep(double(), *recording_);
  }

  std::vector<ValueId> places(const Numbers& numbers) const {
    std::vector<ValueId> places;
    for (const py::object& number : numbers) places.push_back(place_of(number));
    return places;
  }

  // The values of these numbers in this recording, which may be closed; no_value for a plain
  // number.
  std::vector<ValueId> roots(const Numbers& numbers) const {
    std::vector<ValueId> places;
    for (const py::object& number : numbers) {
      const bool here = is_traced(number.ptr()) && as_traced(number.ptr())->id == recording_->id;
      if (!here) symbol_of(number, recording_);
      places.push_back(here ? as_traced(number.ptr())->place : no_value);
    }
    return places;
  }

  static ValueId end_of(const std::vector<ValueId>& roots) {
    ValueId end = 0;
    for (const ValueId root : roots)
      if (root != no_value) end = std::max(end, root + 1);
    return end;
  }

  // The adjoints of the inputs after a reverse sweep from the outputs with these weights. `present`
  // tells which weights are present; without it, those that are not 0.
  Numbers reverse(const Numbers& inputs, const Numbers& outputs, const Numbers& weights,
                  bool record, ValueId begin, const std::optional<std::vector<bool>>& present) {
    need_as_many(weights, outputs, "weights", "outputs");
    if (present && present->size() != weights.size())
      throw py::value_error("`present` must have one entry for each weight");
    const auto from = places(inputs), to = roots(outputs);
    const ActiveRange range(*recording_, from, end_of(to), begin);
    return derive(record, [&](auto zero, OpenRecording& in) {
      using Number = decltype(zero);
      ReverseSweep<Number> sweep(range);
      std::vector<double> seeds(to.size());
      for (std::size_t k = 0; k < to.size(); ++k) {
        if (to[k] == no_value) continue;
        const Symbol weight = symbol_of(weights[k], &in);
        seeds[k] = weight.primal();
        if (present) sweep.seed(to[k], detail::as<Number>(weight), (*present)[k]);
        else sweep.seed(to[k], detail::as<Number>(weight));
      }
      sweep.run();
      if (anomaly_on()) check_sweep(range, std::as_const(sweep), to, seeds);
      Numbers adjoints;
      for (const ValueId input : from) adjoints.push_back(object(in, sweep.adjoint(input)));
      return adjoints;
    });
  }

  static void need_as_many(const Numbers& given, const Numbers& wanted, const char* name,
                           const char* other) {
    if (given.size() != wanted.size())
      throw py::value_error("there are " + std::to_string(given.size()) + " " + name + " for " +
                            std::to_string(wanted.size()) + " " + other);
  }

  // One row of adjoints of the inputs for each output.
  std::vector<Numbers> rows(const Numbers& inputs, const Numbers& outputs, bool record) {
    std::vector<Numbers> rows;
    for (const py::object& output : outputs)
      rows.push_back(reverse(inputs, {output}, {py::float_(1.0)}, record, 0, {}));
    return rows;
  }

  // One row of tangents of the outputs for each direction. `present` is as for reverse(), and
  // applies to all directions.
  std::vector<Numbers> forward(const Numbers& inputs, const std::vector<Numbers>& directions,
                               const Numbers& outputs, bool record, ValueId begin,
                               const std::optional<std::vector<bool>>& present) {
    for (const Numbers& direction : directions)
      need_as_many(direction, inputs, "tangents", "inputs");
    if (present && present->size() != inputs.size())
      throw py::value_error("`present` must have one entry for each input");
    return push(inputs, outputs, record, begin, directions.size(),
                [&](std::size_t d, auto seed, OpenRecording& in) {
                  for (std::size_t k = 0; k < inputs.size(); ++k) {
                    const Symbol weight = symbol_of(directions[d][k], &in);
                    if (present) seed(k, weight, (*present)[k]);
                    else seed(k, weight);
                  }
                });
  }

  // One row of tangents of the outputs for each input.
  std::vector<Numbers> columns(const Numbers& inputs, const Numbers& outputs, bool record) {
    return push(inputs, outputs, record, 0, inputs.size(),
                [&](std::size_t d, auto seed, OpenRecording&) { seed(d, Symbol(1.0)); });
  }

  // One row of tangents of the outputs for each direction. Calls `directed(d, seed, recording)` for
  // each direction d, which in turn calls seed(input, tangent) or seed(input, tangent, present).
  template <class Directed>
  std::vector<Numbers> push(const Numbers& inputs, const Numbers& outputs, bool record,
                            ValueId begin, std::size_t directions, Directed directed) {
    const auto from = places(inputs), to = roots(outputs);
    const ActiveRange range(*recording_, from, end_of(to), begin);
    return derive(record, [&](auto zero, OpenRecording& in) {
      using Number = decltype(zero);
      std::vector<Numbers> tangents;
      for (std::size_t first = 0; first < directions; first += together) {
        const std::size_t count = std::min(together, directions - first);
        ForwardSweep<Number> sweep(range, count, to);
        for (std::size_t d = 0; d < count; ++d)
          directed(
              first + d,
              [&](std::size_t k, const Symbol& weight, auto... present) {
                sweep.seed(from[k], d, detail::as<Number>(weight), present...);
              },
              in);
        sweep.run();
        if (anomaly_on()) check_sweep(range, std::as_const(sweep), count, to);
        for (std::size_t d = 0; d < count; ++d) {
          Numbers& row = tangents.emplace_back();
          for (const ValueId output : to)
            row.push_back(object(in, output == no_value ? Number(0.0) : sweep.tangent(output, d)));
        }
      }
      return tangents;
    });
  }

  // Records a rule. Returns outputs that have the given values and a derivative defined by `pull`
  // and `push`.
  Numbers rule(const Numbers& operands, const Numbers& values, py::object pull, py::object push,
               bool forward) {
    std::vector<ValueId> from, to;
    for (const py::object& number : operands)
      from.push_back(symbol_of(number, recording_).in(*recording_));
    for (const py::object& number : values)
      to.push_back(symbol_of(number, recording_).in(*recording_));
    auto rule = std::make_shared<PythonRule>(std::move(pull), std::move(push), forward, from.size(),
                                             to.size());
    const std::size_t count = to.size();
    const ValueId first = recording_->record_group(std::move(from), std::move(to), std::move(rule));
    Numbers outputs;
    for (std::size_t k = 0; k < count; ++k)
      outputs.push_back(
          object(*recording_, Symbol::at(*recording_, first + static_cast<ValueId>(k))));
    return outputs;
  }

  // The results of an operation, one for each number. A constant stays as it is.
  template <Op code>
  Numbers applied(const Numbers& numbers) {
    Numbers made;
    for (const py::object& number : numbers) {
      const Symbol x = symbol_of(number, recording_);
      made.push_back(x.is_constant() ? number : object(*recording_, Symbol::apply<code>(x)));
    }
    return made;
  }

  std::shared_ptr<Program> program(const Numbers& inputs, const Numbers& outputs) {
    std::vector<Symbol> results;
    for (const py::object& number : outputs) results.push_back(symbol_of(number, recording_));
    return std::make_shared<RecordedProgram>(simplified(*recording_, places(inputs), results),
                                             recording_->sources);
  }

  // True if the outputs depend on the inputs through a rule that supports reverse mode only.
  bool needs_backward(const Numbers& inputs, const Numbers& outputs) const {
    const auto& groups = recording_->groups();
    if (groups.empty()) return false;
    const ActiveRange range(*recording_, places(inputs), end_of(roots(outputs)));
    return std::any_of(groups.begin(), groups.end(), [&](const Recording::RuleCall& group) {
      return !group.rule->goes_forward() && !group.pulled && range.varies(group.first);
    });
  }

  // True if a derivative would be lost if the number became a constant.
  bool is_differentiated(const py::object& number) {
    const Symbol symbol = symbol_of(number, recording_);
    return !symbol.is_constant() &&
           recording_->dependence.is_differentiated(*recording_, symbol.in(*recording_));
  }

  // True if an instruction from `begin` on, or a result, uses a differentiated number from before
  // `outside`.
  bool closes_over(ValueId outside, ValueId begin, const Numbers& results) {
    const std::vector<ValueId> used = used_since(begin, results);
    return std::any_of(used.begin(), used.end(), [&](ValueId place) {
      return place < outside && recording_->dependence.is_differentiated(*recording_, place);
    });
  }

  // The numbers from before `begin` that later instructions use or that are among the results.
  Numbers captured(ValueId begin, const Numbers& results) {
    Numbers numbers;
    for (const ValueId place : used_since(begin, results))
      numbers.push_back(object(*recording_, Symbol::at(*recording_, place)));
    return numbers;
  }

  static inline thread_local RecordingObject* current = nullptr;

 private:
  // The values from before `begin` that instructions from there on use or that are among the
  // results, sorted.
  std::vector<ValueId> used_since(ValueId begin, const Numbers& results) {
    std::vector<ValueId> places;
    const auto use = [&](ValueId place) {
      if (place < begin) places.push_back(place);
    };
    for (const ValueId place : roots(results)) use(place);
    for (ValueId i = begin; i < recording_->size(); ++i) {
      const Instruction& instruction = (*recording_)[i];
      if (instruction.op == Op::custom)
        for (const ValueId place : recording_->groups()[instruction.operand[0]].operands)
          use(place);
      else
        for (const ValueId place : instruction.operand) use(place);
    }
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    return places;
  }

  // Number of directions in one sweep, small enough for their tangents to stay in the cache.
  static constexpr std::size_t together = 8;

  OpenRecording* recording_;
};

}  // namespace

void register_recordings(py::module_& module) {
  py::class_<RecordingObject>(module, "Recording", checked_allocation(),
                              "A record of the operations of a function on traced numbers.")
      .def(py::init<bool>(), py::arg("guarding") = false)
      .def_static(
          "current", [] { return RecordingObject::current; }, py::return_value_policy::reference,
          "Return this thread's open recording, or None.")
      .def("close", &RecordingObject::close,
           "End the recording; `close_recording` needs no memory.")
      .def("__len__", [](RecordingObject& self) { return (*self).size(); })
      .def_property_readonly("guarding", [](RecordingObject& self) { return (*self).guarding; })
      .def("inputs", &RecordingObject::inputs, py::arg("numbers"), py::arg("transforms") = 0)
      .def(
          "close_transforms",
          [](RecordingObject& self, std::size_t count) { (*self).dependence.close(count); },
          py::arg("count"))
      .def(
          "begin_rule",
          [](RecordingObject& self, bool once) { (*self).dependence.begin_rule(once); },
          py::arg("once"))
      .def("end_rule", [](RecordingObject& self) { (*self).dependence.end_rule(); })
      .def("reverse", &RecordingObject::reverse, py::arg("inputs"), py::arg("outputs"),
           py::arg("weights"), py::arg("record"), py::arg("begin") = 0,
           py::arg("present") = py::none())
      .def("forward", &RecordingObject::forward, py::arg("inputs"), py::arg("directions"),
           py::arg("outputs"), py::arg("record"), py::arg("begin") = 0,
           py::arg("present") = py::none())
      .def("rows", &RecordingObject::rows, py::arg("inputs"), py::arg("outputs"), py::arg("record"))
      .def("columns", &RecordingObject::columns, py::arg("inputs"), py::arg("outputs"),
           py::arg("record"))
      .def("needs_backward", &RecordingObject::needs_backward, py::arg("inputs"),
           py::arg("outputs"),
           "True if a rule that supports reverse mode only is between inputs and outputs.")
      .def("rule", &RecordingObject::rule, py::arg("operands"), py::arg("values"), py::arg("pull"),
           py::arg("push"), py::arg("forward") = true)
      .def("stopped", &RecordingObject::applied<op<"stop">()>, py::arg("numbers"))
      .def("program", &RecordingObject::program, py::arg("inputs"), py::arg("outputs"))
      .def("begin_passing", [](RecordingObject& self) { return (*self).begin_passing(); })
      .def(
          "end_passing",
          [](RecordingObject& self, std::uint32_t level) {
            if (level == 0 || level >= (*self).passing.size())
              throw py::value_error("no begin_passing() is open at level " + std::to_string(level));
            (*self).end_passing(level);
          },
          py::arg("level"))
      .def("is_differentiated", &RecordingObject::is_differentiated, py::arg("number"))
      .def("copies", &RecordingObject::applied<op<"copy">()>, py::arg("numbers"),
           "Numbers that are equal and have the same derivatives.")
      .def("closes_over", &RecordingObject::closes_over, py::arg("outside"), py::arg("begin"),
           py::arg("results"))
      .def("captured", &RecordingObject::captured, py::arg("begin"), py::arg("results"));
  // A function and not a method, since pybind11 allocates an object for each call of a method.
  module.def(
      "close_recording", [](RecordingObject& recording) { recording.close(); },
      py::arg("recording"), "End a recording, even if no memory can be allocated.");
  module.def(
      "primal", [](py::handle number) { return symbol_of(number, nullptr).primal(); },
      py::arg("number"), "Return the value of a number as a float, without a guard.");
  module.def(
      "is_traced", [](py::handle object) { return is_traced(object.ptr()); }, py::arg("object"));
}

}  // namespace tapegrad::python
