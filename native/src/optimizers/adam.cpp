// Adam (Kingma and Ba 2014, Algorithm 1) and AdamW (Loshchilov and Hutter 2017);
// c1 = 1 - beta1^t, c2 = 1 - beta2^t, both 1 without biasCorrection:
//   m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
//   w <- w - (eta / c1) m / (sqrt(v) / sqrt(c2) + epsilon)
// weightDecay lambda: adam coupled, g <- g + lambda w; adamw decoupled,
// w <- (1 - eta lambda) w first. amsgrad: the largest v so far, uncorrected (PyTorch).
#include <cmath>

#include "kernels/kernel_table.h"
#include "optimizers/rules.h"

namespace krylov {
namespace {

constexpr const char* kStates[] = {"m", "v", "maxV"};

template <Scalar T>
class Adam final : public UpdateRule<T> {
 public:
  Adam(RuleOptions& o, bool decoupled)
      : learning_rate_(o.number("learningRate")), beta1_(o.number("beta1")), beta2_(o.number("beta2")),
        epsilon_(o.number("epsilon")), decay_(o.number("weightDecay")), amsgrad_(o.flag("amsgrad")),
        correct_(o.flag("biasCorrection")), decoupled_(decoupled) {}

  std::span<const char* const> state_names() const noexcept override { return {kStates, amsgrad_ ? 3u : 2u}; }
  void prepare(std::int64_t t) noexcept override {
    rate_ = schedule_value(learning_rate_, t - 1);
    const double beta1 = schedule_value(beta1_, t - 1), beta2 = schedule_value(beta2_, t - 1);
    const double decay = schedule_value(decay_, t - 1);
    const double c1 = correct_ ? 1.0 - std::pow(beta1, double(t)) : 1.0;
    const double c2 = correct_ ? 1.0 - std::pow(beta2, double(t)) : 1.0;
    scalars_.beta1 = static_cast<T>(beta1);
    scalars_.beta2 = static_cast<T>(beta2);
    scalars_.rest1 = static_cast<T>(1.0 - beta1);
    scalars_.rest2 = static_cast<T>(1.0 - beta2);
    scalars_.epsilon = static_cast<T>(schedule_value(epsilon_, t - 1));
    scalars_.step_size = static_cast<T>(rate_ / c1);
    scalars_.root_correction = static_cast<T>(1.0 / std::sqrt(c2));
    scalars_.coupled_decay = static_cast<T>(decoupled_ ? 0.0 : decay);
    scalars_.decoupled_factor = static_cast<T>(decoupled_ ? 1.0 - rate_ * decay : 1.0);
  }
  void update(T* w, const T* g, T* const* state, std::int64_t n) const noexcept override {
    kernels<T>().update_adam(scalars_, w, g, state[0], state[1], amsgrad_ ? state[2] : nullptr, n);
  }
  double learning_rate() const noexcept override { return rate_; }

 private:
  ScheduleSpec learning_rate_, beta1_, beta2_, epsilon_, decay_;
  bool amsgrad_, correct_, decoupled_;
  AdamScalars<T> scalars_{};
  double rate_ = 0;
};

}  // namespace

template <Scalar T>
std::unique_ptr<UpdateRule<T>> make_adam(RuleOptions& options) {
  return std::make_unique<Adam<T>>(options, false);
}
template <Scalar T>
std::unique_ptr<UpdateRule<T>> make_adamw(RuleOptions& options) {
  return std::make_unique<Adam<T>>(options, true);
}
template std::unique_ptr<UpdateRule<float>> make_adam(RuleOptions&);
template std::unique_ptr<UpdateRule<double>> make_adam(RuleOptions&);
template std::unique_ptr<UpdateRule<float>> make_adamw(RuleOptions&);
template std::unique_ptr<UpdateRule<double>> make_adamw(RuleOptions&);

}  // namespace krylov
