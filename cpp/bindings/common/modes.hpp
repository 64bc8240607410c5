// no_grad() and detect_anomaly(): each concerns the thread that entered it.
#pragma once

namespace tapegrad::python {

enum class Mode { no_grad, anomaly };

// Whether some thread has a mode on: the one thing that an operator looks at.
inline bool watching = false;

// Whether this thread has it on; to be called only while `watching`.
bool is_on(Mode mode);

// Whether results of this thread depend on nothing.
inline bool no_grad_on() { return watching && is_on(Mode::no_grad); }
// Whether NaN and infinities that this thread makes raise.
inline bool anomaly_on() { return watching && is_on(Mode::anomaly); }

}  // namespace tapegrad::python
