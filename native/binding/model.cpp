#include "model.h"

#include <algorithm>

#include "dataset.h"
#include "point.h"
#include "specs.h"
#include "trainer.h"

namespace krylov::binding {

namespace {

// Storage of one call, without an allocation for few heads.
template <class E>
class PerHead {
 public:
  explicit PerHead(std::size_t size) : size_(size) {
    if (size > kInline) many_.resize(size);
  }
  std::span<E> span() noexcept { return {size_ > kInline ? many_.data() : few_.data(), size_}; }
  E& operator[](std::size_t i) noexcept { return span()[i]; }

 private:
  static constexpr std::size_t kInline = 8;
  std::size_t size_;
  std::array<E, kInline> few_{};
  std::vector<E> many_;
};

Napi::Array list_of(const Napi::Value& value, std::string_view name, std::size_t heads) {
  const Napi::Array list = array(value, name, 0xffffffffu);
  if (list.Length() != heads) {
    fail(ErrorCode::kShape, name, "one entry for each of " + std::to_string(heads) + " heads", describe(value));
  }
  return list;
}

template <Scalar T>
void predict_with(krylov::Model<T>& model, const Napi::CallbackInfo& info) {
  const std::span<const HeadInfo> heads = model.network().heads();
  const std::int64_t inputs = model.network().inputs();
  const std::int64_t rows = integer(info[1], "rows", 0, (std::int64_t(1) << 32) - 1);
  if (integer(info[2], "columns", 0) != inputs) {
    fail(ErrorCode::kShape, "columns", std::to_string(inputs) + ", the model's inputs", describe(info[2]));
  }
  const Output output = read_output(info[3], "output");
  const Napi::Array link_list = list_of(info[4], "links", heads.size());
  const Napi::Array out_list = list_of(info[5], "out", heads.size());
  PerHead<Link> links(heads.size());
  PerHead<napi_value> arrays(heads.size());
  PerHead<void*> out(heads.size());
  for (std::size_t h = 0; h < heads.size(); ++h) {
    links[h] = read_link(link_list.Get(static_cast<std::uint32_t>(h)), "links");
    arrays[h] = out_list.Get(static_cast<std::uint32_t>(h));
  }
  // From here on no code of the caller runs, so the pointers stay valid.
  const Elements x = elements(info[0], "inputs", "Float32Array, Float64Array or Uint8Array");
  if (!x.is_float() && x.type != napi_uint8_array) {
    fail(ErrorCode::kDType, "inputs", "Float32Array, Float64Array or Uint8Array", describe(info[0]));
  }
  // inputs is at most 2^24.
  if (x.length != static_cast<std::size_t>(rows * inputs)) {
    fail(ErrorCode::kShape, "inputs", std::to_string(rows) + " rows of " + std::to_string(inputs) + " columns",
         describe(info[0]));
  }
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const Napi::Value array(info.Env(), arrays[h]);
    out[h] = output == Output::kClass ? static_cast<void*>(typed<std::int32_t>(array, "out", rows).data())
                                      : typed<T>(array, "out", rows * heads[h].width).data();
  }
  if (rows == 0) return;
  model.predict(x.data, x.type == napi_uint8_array ? DType::kUint8 : x.dtype(), rows, output, links.span(), out.span());
}

}  // namespace

void ModelCore::check_usable() const {
  if (disposed) fail(ErrorCode::kState, "model", "a model in use", "a disposed one");
}

Napi::Function NativeModel::define(Napi::Env env) {
  using M = NativeModel;
  return DefineClass(env, kName,
                     {getter<M, &M::parameter_count>("parameterCount"), getter<M, &M::tensors>("tensors"),
                      getter<M, &M::heads>("heads"), getter<M, &M::busy>("busy"),
                      method<M, &M::get_parameters>("getParameters"), method<M, &M::set_parameters>("setParameters"),
                      method<M, &M::predict>("predict"), method<M, &M::predict_async>("predictAsync"),
                      method<M, &M::evaluate_async>("evaluateAsync"), method<M, &M::train>("train"),
                      method<M, &M::trainer>("trainer"), method<M, &M::linearize>("linearize"),
                      method<M, &M::dispose>("dispose")});
}

NativeModel::NativeModel(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    const NetworkSpec spec = read_network(info[0], "model");
    const DType type = dtype(info[1], "dtype");
    const std::uint64_t seed = read_seed(info[2], "seed");
    const auto create = [&]<class T>(T) {
      std::shared_ptr<krylov::Model<T>> model;
      check(krylov::Model<T>::create(spec, seed, model));
      memory_.attach(info.Env(), model->network().arena_size() * static_cast<std::int64_t>(sizeof(T)));
      return AnyModel(std::move(model));
    };
    core_ = std::make_shared<ModelCore>();
    core_->model = type == DType::kFloat32 ? create(float()) : create(double());
    seal<NativeModel>(info);
  });
}

void NativeModel::check_idle() {
  const bool busy = core_->visit([](auto& model) { return model->busy(); });
  if (busy) fail(ErrorCode::kBusy, "model", "a model that no run is training", "one that is being trained");
}

Napi::Value NativeModel::parameter_count(const Napi::CallbackInfo& info) {
  const std::int64_t count = core_->visit([](auto& model) { return model->network().parameter_count(); });
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

Napi::Value NativeModel::tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return core_->visit([&](auto& model) -> Napi::Value {
    const std::span<const TensorInfo> tensors = model->network().tensors();
    auto list = Napi::Array::New(env, tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const TensorInfo& tensor = tensors[i];
      const double sizes[] = {static_cast<double>(tensor.outputs), static_cast<double>(tensor.row_count)};
      auto entry = Napi::Object::New(env);
      entry.Set("name", tensor.name);
      entry.Set("shape", number_array(env, std::span(sizes).first(tensor.vector ? 1 : 2)));
      entry.Set("offset", static_cast<double>(tensor.public_offset));
      list.Set(static_cast<std::uint32_t>(i), entry);
    }
    return list;
  });
}

Napi::Value NativeModel::heads(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return core_->visit([&](auto& model) -> Napi::Value {
    const std::span<const HeadInfo> heads = model->network().heads();
    auto list = Napi::Array::New(env, heads.size());
    for (std::size_t h = 0; h < heads.size(); ++h) {
      auto entry = Napi::Object::New(env);
      entry.Set("name", heads[h].name);
      entry.Set("width", static_cast<double>(heads[h].width));
      entry.Set("squashed", heads[h].squashed);
      list.Set(static_cast<std::uint32_t>(h), entry);
    }
    return list;
  });
}

Napi::Value NativeModel::busy(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), core_->visit([](auto& model) { return model->busy(); }));
}

void NativeModel::get_parameters(const Napi::CallbackInfo& info) {
  core_->visit([&](auto& model) {
    const Elements out = floats(info[0], "out", model->network().parameter_count());
    if (out.type == napi_float32_array) {
      model->template read<float>({reinterpret_cast<float*>(out.data), out.length});
    } else {
      model->template read<double>({reinterpret_cast<double*>(out.data), out.length});
    }
  });
}

void NativeModel::set_parameters(const Napi::CallbackInfo& info) {
  check_idle();
  core_->visit([&](auto& model) {
    const Elements flat = floats(info[0], "parameters", model->network().parameter_count());
    if (flat.type == napi_float32_array) {
      model->template write<float>({reinterpret_cast<const float*>(flat.data), flat.length});
    } else {
      model->template write<double>({reinterpret_cast<const double*>(flat.data), flat.length});
    }
  });
}

void NativeModel::predict(const Napi::CallbackInfo& info) {
  // A copy: elements of the arguments may be accessors that dispose the model.
  core_->check_usable();
  const AnyModel model = core_->model;
  std::visit([&](auto& m) { predict_with(*m, info); }, model);
}

Napi::Value NativeModel::trainer(const Napi::CallbackInfo& info) {
  TrainingOptions options = read_options(info[0], "options");
  // Batches are the caller's: the first one sizes the workspace.
  options.batch_size = 1;
  return core_->visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) -> Napi::Value {
    std::unique_ptr<krylov::Trainer<T>> trainer;
    check(krylov::Trainer<T>::create(model, options, trainer));
    NativeTrainer::Content content{core_, std::move(trainer)};
    return make<NativeTrainer>(info.Env(), Environment::of(info.Env()).trainer, content);
  });
}

Napi::Value NativeModel::linearize(const Napi::CallbackInfo& info) {
  const std::vector<HeadTask> tasks = read_tasks(info[1], "tasks");
  const double l2 = number(info[2], "l2", 0);
  const std::int64_t batch_size = integer(info[3], "batchSize", 0, kLargestInteger);
  const auto batch = unwrap<NativeDataset>(info[0], "batch").data("batch");
  std::vector<LossSpec> losses;
  for (const HeadTask& task : tasks) losses.push_back(task.loss);
  check_idle();
  return core_->visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) -> Napi::Value {
    check_rows(model->network(), batch->rows(), "batch");
    std::unique_ptr<krylov::Linearization<T>> point;
    check(krylov::Linearization<T>::create(*model, batch, std::move(losses), l2, batch_size, point));
    NativePoint::Content content = std::shared_ptr<krylov::Linearization<T>>(std::move(point));
    return make<NativePoint>(info.Env(), Environment::of(info.Env()).point, content);
  });
}

void NativeModel::dispose(const Napi::CallbackInfo&) {
  if (core_->disposed) return;
  check_idle();
  core_->disposed = true;
  std::visit([](auto& model) { model.reset(); }, core_->model);
  memory_.set(0);
}

}  // namespace krylov::binding
