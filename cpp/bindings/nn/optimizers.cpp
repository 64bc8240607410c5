// The Python interface of update rules for groups of parameters, and of gradient clipping.
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "common/allocation.hpp"
#include "common/references.hpp"
#include "module.hpp"
#include "tapegrad/optim.hpp"
#include "value/parameters.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

// The options of one parameter group, a dict. The functions throw an error that names the group and
// the option.
class Options {
 public:
  Options(py::handle group, std::size_t index) : place_("param_groups[" + std::to_string(index)) {
    if (!PyDict_Check(group.ptr()))
      throw py::type_error(place_ + "] must be a dict, not '" + Py_TYPE(group.ptr())->tp_name +
                           "'");
    group_ = py::reinterpret_borrow<py::dict>(group);
  }

  py::object at(const char* name) const {
    PyObject* found = PyDict_GetItemWithError(group_.ptr(), py::str(name).ptr());
    if (found != nullptr) return py::reinterpret_borrow<py::object>(found);
    if (PyErr_Occurred()) throw py::error_already_set();
    throw py::key_error(told(name) + " is not there");
  }
  double number(const char* name) const { return to_number(at(name), told(name)); }
  std::pair<double, double> pair(const char* name) const {
    const py::object given = at(name);
    if (!PySequence_Check(given.ptr()))
      throw py::type_error(told(name) + " must be two numbers, not '" +
                           Py_TYPE(given.ptr())->tp_name + "'");
    const auto both = owned<py::tuple>(PySequence_Tuple(given.ptr()));
    if (both.size() != 2)
      throw py::value_error(told(name) + " must be two numbers, not " +
                            std::to_string(both.size()));
    return {to_number(both[0], told(name) + "[0]"), to_number(both[1], told(name) + "[1]")};
  }
  bool flag(const char* name) const {
    const int truth = PyObject_IsTrue(at(name).ptr());
    if (truth < 0) throw py::error_already_set();
    return truth != 0;
  }
  std::string told(const char* name) const { return place_ + "]['" + name + "']"; }

 private:
  static double to_number(const py::object& given, const std::string& name) {
    double number = 0.0;
    if (!need_number(given.ptr(), name.c_str(), number)) throw py::error_already_set();
    return number;
  }

  std::string place_;
  py::dict group_;
};

void read_options(const Options& from, optim::SGD& rule) {
  rule = {.lr = from.number("lr"),
          .momentum = from.number("momentum"),
          .dampening = from.number("dampening"),
          .weight_decay = from.number("weight_decay"),
          .nesterov = from.flag("nesterov"),
          .maximize = from.flag("maximize")};
}

void read_options(const Options& from, optim::Adam& rule) {
  const auto [beta1, beta2] = from.pair("betas");
  rule = {.lr = from.number("lr"),
          .beta1 = beta1,
          .beta2 = beta2,
          .eps = from.number("eps"),
          .weight_decay = from.number("weight_decay"),
          .amsgrad = from.flag("amsgrad"),
          .maximize = from.flag("maximize"),
          .decoupled_weight_decay = from.flag("decoupled_weight_decay")};
}

void read_options(const Options& from, optim::RMSprop& rule) {
  rule = {.lr = from.number("lr"),
          .alpha = from.number("alpha"),
          .eps = from.number("eps"),
          .weight_decay = from.number("weight_decay"),
          .momentum = from.number("momentum"),
          .centered = from.flag("centered"),
          .maximize = from.flag("maximize")};
}

void read_options(const Options& from, optim::Adagrad& rule) {
  rule = {.lr = from.number("lr"),
          .lr_decay = from.number("lr_decay"),
          .weight_decay = from.number("weight_decay"),
          .initial_accumulator_value = from.number("initial_accumulator_value"),
          .eps = from.number("eps"),
          .maximize = from.flag("maximize")};
}

// A parameter group: the state of its rule, and its parameters. These are borrowed references, used
// only for a comparison with the list in the group's dict. The caller of add() keeps the parameters
// alive, in an object that the collector sees.
struct GroupState {
  optim::State state;
  std::vector<PyObject*> parameters;
};

// An update rule and its parameter groups, as Python uses them.
class UpdateRule {
 public:
  UpdateRule() = default;
  UpdateRule(const UpdateRule&) = delete;
  UpdateRule& operator=(const UpdateRule&) = delete;
  virtual ~UpdateRule() = default;

  void add(const py::list& params) {
    const Parameters checked(params, "params");
    checked.check();
    GroupState group{{.count = checked.count()}, {}};
    for (std::size_t k = 0; k < checked.count(); ++k)
      group.parameters.push_back(PyList_GET_ITEM(params.ptr(), static_cast<Py_ssize_t>(k)));
    groups_.push_back(std::move(group));
  }

  virtual void step(const py::list& param_groups) = 0;
  virtual py::list state() const = 0;
  virtual void load(const py::list& states) = 0;

 protected:
  std::vector<GroupState> groups_;
};

void need_unchanged(const GroupState& group, const py::list& params, const std::string& name) {
  const auto count = static_cast<Py_ssize_t>(group.parameters.size());
  bool same = PyList_GET_SIZE(params.ptr()) == count;
  for (Py_ssize_t k = 0; same && k < count; ++k) {
    PyObject* item = PyList_GET_ITEM(params.ptr(), k);
    same = item == group.parameters[static_cast<std::size_t>(k)] && is_value(item);
  }
  if (same) return;
  PyErr_Format(PyExc_RuntimeError,
               "%s changed since the group was added: make a new optimizer, or add_param_group()",
               name.c_str());
  throw py::error_already_set();
}

// The implementation of UpdateRule for one rule of the core.
template <class Rule>
class RuleOf final : public UpdateRule {
 public:
  // Updates the parameters of all groups. Options are read first: that may run Python code, and no
  // step after it does.
  void step(const py::list& param_groups) override {
    const py::list groups = copy(param_groups);
    std::vector<Rule> rules(groups.size());
    std::vector<py::list> params;
    std::vector<std::string> names;
    for (std::size_t k = 0; k < groups.size(); ++k) {
      const Options options(groups[k], k);
      read_options(options, rules[k]);
      const py::object given = options.at("params");
      names.push_back(options.told("params"));
      if (!PyList_Check(given.ptr())) throw py::type_error(names[k] + " must be a list");
      params.push_back(py::reinterpret_borrow<py::list>(given));
    }
    if (groups.size() != groups_.size()) {
      PyErr_Format(PyExc_RuntimeError, "there are %zu param_groups, and %zu were added",
                   groups.size(), groups_.size());
      throw py::error_already_set();
    }
    for (std::size_t k = 0; k < params.size(); ++k) {
      need_unchanged(groups_[k], params[k], names[k]);
      optim::prepare(rules[k], groups_[k].state);
    }
    ++changes;
    for (std::size_t k = 0; k < params.size(); ++k)
      optim::step(tape(), rules[k], groups_[k].state, [items = params[k].ptr()](std::size_t j) {
        return node_of(PyList_GET_ITEM(items, static_cast<Py_ssize_t>(j)));
      });
  }

  // A dict for each group: the number of steps, and the buffers that a step has written.
  py::list state() const override {
    std::vector<optim::State> now;  // creating objects may run any code
    for (const GroupState& group : groups_) now.push_back(group.state);
    py::list states;
    for (const optim::State& state : now) {
      py::dict entry;
      entry["step"] = state.steps;
      for (std::size_t b = 0; b < Rule::buffers.size(); ++b)
        if (state.buffers[b].begun) entry[py::str(Rule::buffers[b])] = state.buffers[b].numbers;
      states.append(entry);
    }
    return states;
  }

  void load(const py::list& given) override {
    const py::list states = copy(given);
    if (states.size() != groups_.size())
      throw py::value_error("state is of " + std::to_string(states.size()) + " groups, not of " +
                            std::to_string(groups_.size()));
    std::vector<optim::State> loaded;
    for (std::size_t k = 0; k < states.size(); ++k)
      loaded.push_back(
          load_one(states[k], "state[" + std::to_string(k) + "]", groups_[k].state.count));
    if (loaded.size() != groups_.size())
      throw py::value_error("groups were added while the state was loaded");
    for (std::size_t k = 0; k < loaded.size(); ++k) groups_[k].state = std::move(loaded[k]);
  }

 private:
  static py::list copy(const py::list& given) {
    return owned<py::list>(PyList_GetSlice(given.ptr(), 0, PY_SSIZE_T_MAX));
  }

  static optim::State load_one(py::handle given, const std::string& name, std::size_t count) {
    if (!PyDict_Check(given.ptr())) throw py::type_error(name + " must be a dict");
    optim::State state{.count = count};
    const auto entries = owned<py::list>(PyDict_Items(given.ptr()));
    for (const py::handle& entry : entries) {
      const auto key = py::repr(entry.attr("__getitem__")(0)).cast<std::string>();
      const py::object value = entry.attr("__getitem__")(1);
      if (key == "'step'") {
        state.steps = to_steps(value, name);
        continue;
      }
      std::size_t b = 0;
      while (b < Rule::buffers.size() && key != "'" + std::string(Rule::buffers[b]) + "'") ++b;
      if (b == Rule::buffers.size())
        throw py::value_error(name + " has " + key + ", which is not of this optimizer");
      state.buffers[b] = {to_numbers(value, name + "[" + key + "]", count), true};
    }
    return state;
  }

  static std::size_t to_steps(const py::object& value, const std::string& name) {
    if (!PyLong_Check(value.ptr())) throw py::type_error(name + "['step'] must be an int");
    const std::size_t steps = PyLong_AsSize_t(value.ptr());
    if (!PyErr_Occurred()) return steps;
    PyErr_Clear();
    throw py::value_error(name + "['step'] must be a number of steps");
  }

  static std::vector<double> to_numbers(const py::object& value, const std::string& name,
                                        std::size_t count) {
    if (!PyList_Check(value.ptr()) && !PyTuple_Check(value.ptr()))
      throw py::type_error(name + " must be a list of numbers, not '" +
                           Py_TYPE(value.ptr())->tp_name + "'");
    const py::tuple items(value);
    if (items.size() != count)
      throw py::value_error(name + " has " + std::to_string(items.size()) + " numbers for " +
                            std::to_string(count) + " parameters");
    std::vector<double> numbers(count);
    for (std::size_t k = 0; k < count; ++k) {
      PyObject* item = PyTuple_GET_ITEM(items.ptr(), static_cast<Py_ssize_t>(k));
      if (PyFloat_CheckExact(item)) {
        numbers[k] = PyFloat_AS_DOUBLE(item);
        continue;
      }
      const std::string place = name + "[" + std::to_string(k) + "]";
      if (!need_number(item, place.c_str(), numbers[k])) throw py::error_already_set();
    }
    return numbers;
  }
};

std::unique_ptr<UpdateRule> make_rule(const std::string& name) {
  if (name == "SGD") return std::make_unique<RuleOf<optim::SGD>>();
  if (name == "Adam") return std::make_unique<RuleOf<optim::Adam>>();
  if (name == "RMSprop") return std::make_unique<RuleOf<optim::RMSprop>>();
  if (name == "Adagrad") return std::make_unique<RuleOf<optim::Adagrad>>();
  throw py::value_error("there is no update rule '" + name + "'");
}

// Raises TypeError for an object that is not a Value, and ValueError for a Value that is not a
// leaf.
void check_parameters(const py::list& params) {
  const Parameters checked(params, "params");
  checked.check();
  for (std::size_t k = 0; k < checked.count(); ++k)
    if (tape().cell(checked(k)).op != Op::leaf)
      throw py::value_error("params[" + std::to_string(k) +
                            "] is the result of an operation: only leaves can be optimized");
}

double number_of(const py::object& given, const char* name) {
  double number = 0.0;
  if (!need_number(given.ptr(), name, number)) throw py::error_already_set();
  return number;
}

double clip_grad_norm(const py::object& given, const py::object& max_norm_given,
                      const py::object& norm_type_given, bool error_if_nonfinite) {
  const Parameters parameters(given, "parameters");
  const double max_norm = number_of(max_norm_given, "max_norm");
  const double norm_type = number_of(norm_type_given, "norm_type");
  parameters.check();
  const double norm = optim::grad_norm(tape(), parameters.count(), parameters, norm_type);
  if (error_if_nonfinite && !std::isfinite(norm)) {
    const std::string text = py::str(py::float_(norm));
    PyErr_Format(PyExc_RuntimeError, "the norm of the gradients is %s: they cannot be clipped",
                 text.c_str());
    throw py::error_already_set();
  }
  ++changes;
  optim::clip_grad_norm(tape(), parameters.count(), parameters, max_norm, norm);
  return norm;
}

void clip_grad_value(const py::object& given, const py::object& clip_value_given) {
  const Parameters parameters(given, "parameters");
  const double clip_value = number_of(clip_value_given, "clip_value");
  parameters.check();
  ++changes;
  optim::clip_grad_value(tape(), parameters.count(), parameters, clip_value);
}

}  // namespace

void register_optimizers(py::module_& module) {
  py::class_<UpdateRule>(
      module, "UpdateRule", checked_allocation(),
      "An update rule of tapegrad.optim, with the state of its parameter groups.")
      .def(py::init(&make_rule), py::arg("name"), py::pos_only())
      .def("add", &UpdateRule::add, py::arg("params"), py::pos_only(), "Add a group of parameters.")
      .def("step", &UpdateRule::step, py::arg("param_groups"), py::pos_only(),
           "Update the parameters of every group.")
      .def("state", &UpdateRule::state, "Return the state, a dict for each group.")
      .def("load", &UpdateRule::load, py::arg("states"), py::pos_only(),
           "Load a state that state() returned.");
  module.def("check_parameters", check_parameters, py::arg("params"), py::pos_only(),
             "Raise TypeError unless all are Values, and ValueError unless all are leaves.");
  module.def(
      "clip_grad_norm_", clip_grad_norm, py::arg("parameters"), py::arg("max_norm"),
      py::arg("norm_type") = 2.0, py::arg("error_if_nonfinite") = false,
      "Scale all gradients by one factor so that their total norm is at most `max_norm`.\n\n"
      "`parameters` is a Value or an iterable of Values. `norm_type` is the order of the norm, a\n"
      "number, or infinity for the largest magnitude. Returns the norm before scaling. If it is NaN\n"
      "or infinite, raises RuntimeError with `error_if_nonfinite`, otherwise gradients become NaN or\n"
      "0, as in PyTorch.\n\n"
      ">>> from tapegrad import Value, optim\n"
      ">>> x, y = Value(1.0), Value(2.0)\n"
      ">>> (x * 3 + y * 4).backward()\n"
      ">>> optim.clip_grad_norm_([x, y], max_norm=1.0)\n"
      "5.0\n"
      ">>> round(x.grad, 6), round(y.grad, 6)\n"
      "(0.6, 0.8)");
  module.def("clip_grad_value_", clip_grad_value, py::arg("parameters"), py::arg("clip_value"),
             "Clip each gradient to the range from `-clip_value` to `clip_value`.\n\n"
             "`parameters` is a Value or an iterable of Values.\n\n"
             ">>> from tapegrad import Value, optim\n"
             ">>> x = Value(1.0)\n"
             ">>> (x * 3).backward()\n"
             ">>> optim.clip_grad_value_(x, 0.5)\n"
             ">>> x.grad\n"
             "0.5");
}

}  // namespace tapegrad::python
