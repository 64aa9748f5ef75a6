// The addon: what JavaScript sees. One instance for each environment.
#include "computation.h"
#include "dataset.h"
#include "diagnosis.h"
#include "environment.h"
#include "estimates.h"
#include "gradient_transforms.h"
#include "minimizer.h"
#include "model.h"
#include "operator.h"
#include "optimizer.h"
#include "per_sample.h"
#include "point.h"
#include "run.h"
#include "saliency.h"
#include "sample_weights.h"
#include "sampling.h"
#include "solve.h"
#include "spectra.h"
#include "system.h"
#include "tangent_kernels.h"
#include "task_gradients.h"
#include "trainer.h"
#include "values.h"

namespace krylov::binding {

Environment::Environment(Napi::Env env) : delivery(env) {
  const auto global = [&](const char* name) {
    return Napi::Persistent(function(env.Global().Get(name), name));
  };
  float32_array = global("Float32Array");
  float64_array = global("Float64Array");
  int32_array = global("Int32Array");
  uint32_array = global("Uint32Array");
  run = Napi::Persistent(NativeRun::define(env));
  trainer = Napi::Persistent(NativeTrainer::define(env));
  point = Napi::Persistent(NativePoint::define(env));
  computation = Napi::Persistent(NativeComputation::define(env));
  linear_operator = Napi::Persistent(NativeOperator::define(env));
}

Environment& Environment::of(Napi::Env env) {
  Environment* const environment = find(env);
  if (environment == nullptr) fail(ErrorCode::kState, "environment", "one that is not ending");
  return *environment;
}

namespace {

Napi::Value set_error_class(const Napi::CallbackInfo& info) {
  const Napi::Function error_class = function(info[0], "errorClass");
  Environment::of(info.Env()).error_class = Napi::Persistent(error_class);
  return info.Env().Undefined();
}

template <auto kFunction>
void add_function(Napi::Object exports, const char* name) {
  const Napi::Env env = exports.Env();
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, &function_entry<kFunction>, nullptr, &function) != napi_ok) {
    throw Napi::Error::New(env);
  }
  exports.Set(name, function);
}

Napi::Object load(Napi::Env env, Napi::Object exports) {
  return guard(env, [&] {
    check_requested_isa();
    env.SetInstanceData<Environment>(new Environment(env));
    add_function<&system_info>(exports, "systemInfo");
    add_function<&set_error_class>(exports, "setErrorClass");
    add_function<&schedule_value>(exports, "scheduleValue");
    add_function<&permutation>(exports, "permutation");
    add_function<&measure_peak>(exports, "measurePeak");
    add_function<&measure_bandwidth>(exports, "measureBandwidth");
    add_function<&make_dense_operator>(exports, "denseOperator");
    add_function<&make_diagonal_operator>(exports, "diagonalOperator");
    add_function<&make_sum_operator>(exports, "sumOperator");
    add_function<&make_low_rank_operator>(exports, "lowRankOperator");
    add_function<&make_block_diagonal_operator>(exports, "blockDiagonalOperator");
    add_function<&make_diagonal_inverse>(exports, "diagonalInverse");
    add_function<&make_lbfgs_inverse>(exports, "lbfgsInverse");
    add_function<&make_kronecker_inverse>(exports, "kroneckerInverse");
    add_function<&make_sampled_fisher>(exports, "sampledFisher");
    add_function<&curvature_diagonal_of>(exports, "curvatureDiagonal");
    add_function<&kronecker_factors_of>(exports, "kroneckerFactors");
    add_function<&combine_vectors>(exports, "combine");
    add_function<&parameter_groups_of>(exports, "parameterGroups");
    add_function<&per_sample_squares_of>(exports, "perSampleSquares");
    add_function<&per_sample_products_of>(exports, "perSampleProducts");
    add_function<&gram_matrix_of>(exports, "gramMatrix");
    add_function<&tangent_kernel_of>(exports, "tangentKernel");
    add_function<&output_jacobians_of>(exports, "outputJacobians");
    add_function<&gradient_square_sums_of>(exports, "gradientSquareSums");
    add_function<&gradient_variance_of>(exports, "gradientVariance");
    add_function<&gradient_statistics_of>(exports, "gradientStatistics");
    add_function<&cosines_of>(exports, "cosines");
    add_function<&vector_products_of>(exports, "vectorProducts");
    add_function<&unit_activity_of>(exports, "unitActivity");
    add_function<&start_conjugate_gradient>(exports, "conjugateGradient");
    add_function<&start_minres>(exports, "minres");
    add_function<&start_least_squares>(exports, "leastSquares");
    add_function<&start_lanczos>(exports, "lanczos");
    add_function<&start_eigenpairs>(exports, "eigenpairs");
    add_function<&start_quadrature>(exports, "quadrature");
    add_function<&start_hutchinson>(exports, "hutchinson");
    add_function<&start_hutch_plus_plus>(exports, "hutchPlusPlus");
    add_function<&start_spectral_norm>(exports, "spectralNorm");
    add_function<&start_curvature_noise>(exports, "curvatureNoise");
    add_function<&start_stability>(exports, "stability");
    add_function<&spectral_density>(exports, "spectralDensity");
    add_function<&softmax_radius>(exports, "softmaxRadius");
    add_function<&hessian_alignment>(exports, "hessianAlignment");
    add_function<&input_saliency_of>(exports, "inputSaliency");
    add_function<&layer_saliency_of>(exports, "layerSaliency");
    add_function<&position_map_of>(exports, "positionMap");
    add_function<&combine_maps_of>(exports, "combineMaps");
    add_function<&rank_correlation_of>(exports, "rankCorrelation");
    add_function<&label_figures_of>(exports, "labelFigures");
    add_function<&sample_weights_of>(exports, "sampleWeights");
    add_function<&sampling_probabilities_of>(exports, "samplingProbabilities");
    add_function<&importance_weights_of>(exports, "importanceWeights");
    add_function<&variance_reduction_of>(exports, "varianceReduction");
    add_function<&record_history_of>(exports, "recordHistory");
    add_function<&surrogate_kernel_of>(exports, "surrogateKernel");
    add_function<&finite_surrogate_kernel_of>(exports, "finiteSurrogateKernel");
    add_function<&kernel_regression_of>(exports, "kernelRegression");
    exports.Set("Model", NativeModel::define(env));
    exports.Set("Dataset", NativeDataset::define(env));
    exports.Set("Optimizer", NativeOptimizer::define(env));
    exports.Set("GradientChain", NativeGradientChain::define(env));
    exports.Set("TaskCombiner", NativeTaskCombiner::define(env));
    exports.Set("Minimization", NativeMinimization::define(env));
    return exports;
  });
}

}  // namespace

NODE_API_MODULE(krylov, load)

}  // namespace krylov::binding
