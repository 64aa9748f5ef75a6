// Gradient descent with momentum as in PyTorch's SGD; mu momentum, d dampening,
// lambda weight decay (coupled), eta learning rate:
//   g <- g + lambda w;  b <- mu b + (1 - d) g, except b <- g at the first update
//   w <- w - eta b;  nesterov (shifted form, d = 0): w <- w - eta (g + mu b)
#include "kernels/kernel_table.h"
#include "optimizers/rules.h"

namespace krylov {
namespace {

constexpr const char* kStates[] = {"momentum"};

template <Scalar T>
class Sgd final : public UpdateRule<T> {
 public:
  explicit Sgd(RuleOptions& o)
      : learning_rate_(o.number("learningRate")), momentum_(o.number("momentum")), dampening_(o.number("dampening")),
        decay_(o.number("weightDecay")), nesterov_(o.flag("nesterov")),
        plain_(momentum_.kind == ScheduleKind::kConstant && momentum_.value == 0) {}

  std::span<const char* const> state_names() const noexcept override {
    return plain_ ? std::span<const char* const>() : std::span<const char* const>(kStates);
  }
  void prepare(std::int64_t t) noexcept override {
    rate_ = schedule_value(learning_rate_, t - 1);
    const bool first = t == 1;
    scalars_.learning_rate = static_cast<T>(rate_);
    scalars_.momentum = first ? T(0) : static_cast<T>(schedule_value(momentum_, t - 1));
    scalars_.gradient_factor = first ? T(1) : static_cast<T>(1.0 - schedule_value(dampening_, t - 1));
    scalars_.decay = static_cast<T>(schedule_value(decay_, t - 1));
    scalars_.nesterov = nesterov_;
    if (first && nesterov_) scalars_.nesterov_momentum = static_cast<T>(schedule_value(momentum_, 0));
    else scalars_.nesterov_momentum = scalars_.momentum;
  }
  void update(T* w, const T* g, T* const* state, std::int64_t n) const noexcept override {
    kernels<T>().update_sgd(scalars_, w, g, plain_ ? nullptr : state[0], n);
  }
  double learning_rate() const noexcept override { return rate_; }

 private:
  ScheduleSpec learning_rate_, momentum_, dampening_, decay_;
  bool nesterov_, plain_;
  SgdScalars<T> scalars_{};
  double rate_ = 0;
};

}  // namespace

template <Scalar T>
std::unique_ptr<UpdateRule<T>> make_sgd(RuleOptions& options) {
  return std::make_unique<Sgd<T>>(options);
}
template std::unique_ptr<UpdateRule<float>> make_sgd(RuleOptions&);
template std::unique_ptr<UpdateRule<double>> make_sgd(RuleOptions&);

}  // namespace krylov
