#include "delivery.h"

#include <algorithm>

namespace krylov::binding {

void Mailbox::post() noexcept {
  const std::lock_guard lock(mutex_);
  if (closed_ || posted_) return;
  posted_ = napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) == napi_ok;
}

void Mailbox::over() noexcept {
  const std::lock_guard lock(mutex_);
  --running_;
  idle_.notify_all();
}

Delivery::Delivery(Napi::Env env) : env_(env) {
  const Napi::String name = Napi::String::New(env, "krylov");
  napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
                                                       &Delivery::call, &mailbox_->function_);
  if (status == napi_ok) status = napi_unref_threadsafe_function(env, mailbox_->function_);
  // Hooks run in reverse order: this one before the function's own, so that
  // the compute thread never calls a function that is going away.
  if (status == napi_ok) status = napi_add_env_cleanup_hook(env, &Delivery::close, this);
  if (status != napi_ok) fail(ErrorCode::kNative, "environment", "room for a thread-safe function");
}

Delivery::~Delivery() {
  if (mailbox_->closed_) return;
  napi_remove_env_cleanup_hook(env_, &Delivery::close, this);
  napi_release_threadsafe_function(mailbox_->function_, napi_tsfn_abort);
}

void Delivery::start(std::shared_ptr<Work> work, std::shared_ptr<Job> job) {
  active_.push_back(std::move(work));
  try {
    resume(std::move(job));
  } catch (...) {
    active_.pop_back();
    throw;
  }
  if (active_.size() == 1) napi_ref_threadsafe_function(env_, mailbox_->function_);
}

void Delivery::resume(std::shared_ptr<Job> job) {
  {
    const std::lock_guard lock(mailbox_->mutex_);
    ++mailbox_->running_;
  }
  try {
    ComputeThread::instance().submit(std::move(job));
  } catch (...) {
    mailbox_->over();
    throw;
  }
}

void Delivery::call(napi_env env, napi_value, void* context, void*) noexcept {
  if (env == nullptr) return;  // the environment ends; close() has seen to the rest
  try {
    static_cast<Delivery*>(context)->deliver(env);
  } catch (...) {
    // Only an environment that is being terminated lets a delivery fail.
  }
}

void Delivery::deliver(napi_env env) {
  {
    const std::lock_guard lock(mailbox_->mutex_);
    mailbox_->posted_ = false;
  }
  // A delivery runs the caller's code, which may start more work.
  const std::vector<std::shared_ptr<Work>> works = active_;
  for (const std::shared_ptr<Work>& work : works) {
    const Napi::HandleScope scope(env);
    if (!work->deliver(env)) continue;
    active_.erase(std::remove(active_.begin(), active_.end(), work), active_.end());
    if (active_.empty()) napi_unref_threadsafe_function(env, mailbox_->function_);
  }
}

void Delivery::close(void* self) noexcept {
  Delivery& delivery = *static_cast<Delivery*>(self);
  Mailbox& mailbox = *delivery.mailbox_;
  std::unique_lock lock(mailbox.mutex_);
  mailbox.closed_ = true;
  for (const std::shared_ptr<Work>& work : delivery.active_) work->abort();
  mailbox.idle_.wait(lock, [&] { return mailbox.running_ == 0; });
}

}  // namespace krylov::binding
