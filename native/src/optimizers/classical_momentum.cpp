// Classical momentum in its two-array form; gamma learningRate, eta
// gradientScale, beta momentum, lambda weightDecay (coupled):
//   p <- beta p + eta (g + lambda w);  w <- w - gamma p
// nesterov takes the gradient elsewhere (Sutskever et al. 2013, eq. 3-4):
//   lookahead at w - beta gamma p, literal at w - beta p.
#include "kernels/kernel_table.h"
#include "optimizers/rules.h"

namespace krylov {
namespace {

constexpr const char* kStates[] = {"momentum"};
constexpr const char* kPlaces[] = {"none", "lookahead", "literal"};
enum Place { kNone, kLookahead, kLiteral };

template <Scalar T>
class ClassicalMomentum final : public UpdateRule<T> {
 public:
  explicit ClassicalMomentum(RuleOptions& o)
      : learning_rate_(o.number("learningRate")), scale_(o.number("gradientScale")), momentum_(o.number("momentum")),
        decay_(o.number("weightDecay")), place_(static_cast<Place>(o.word("nesterov", kPlaces))) {}

  std::span<const char* const> state_names() const noexcept override { return kStates; }
  void prepare(std::int64_t t) noexcept override {
    rate_ = schedule_value(learning_rate_, t - 1);
    const double beta = schedule_value(momentum_, t - 1);
    scalars_.learning_rate = static_cast<T>(rate_);
    scalars_.gradient_scale = static_cast<T>(schedule_value(scale_, t - 1));
    scalars_.momentum = static_cast<T>(beta);
    scalars_.decay = static_cast<T>(schedule_value(decay_, t - 1));
    ahead_ = static_cast<T>(place_ == kLiteral ? -beta : -beta * rate_);
  }
  void update(T* w, const T* g, T* const* state, std::int64_t n) const noexcept override {
    kernels<T>().update_momentum(scalars_, w, g, state[0], n);
  }
  bool evaluates_elsewhere() const noexcept override { return place_ != kNone; }
  void place(const T* w, T* const* state, T* point, std::int64_t n) const noexcept override {
    if (place_ == kNone) return UpdateRule<T>::place(w, state, point, n);
    kernels<T>().scaled_sum(w, ahead_, state[0], point, n);
  }
  double learning_rate() const noexcept override { return rate_; }

 private:
  ScheduleSpec learning_rate_, scale_, momentum_, decay_;
  Place place_;
  MomentumScalars<T> scalars_{};
  T ahead_ = 0;
  double rate_ = 0;
};

}  // namespace

template <Scalar T>
std::unique_ptr<UpdateRule<T>> make_classical_momentum(RuleOptions& options) {
  return std::make_unique<ClassicalMomentum<T>>(options);
}
template std::unique_ptr<UpdateRule<float>> make_classical_momentum(RuleOptions&);
template std::unique_ptr<UpdateRule<double>> make_classical_momentum(RuleOptions&);

}  // namespace krylov
