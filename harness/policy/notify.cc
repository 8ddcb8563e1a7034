#include "harness/policy/notify.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/policy/syscalls.h"

namespace ringfence {
namespace {

using Json = nlohmann::json;

NotifyAnswer read_answer(const JsonNode& node) {
  node.only({"names", "errno", "value", "continue"});
  NotifyAnswer answer;
  const JsonNode names = node.require("names");
  answer.names = names.strings();
  if (names && answer.names.empty()) names.fail("no names", "the calls that get this answer");
  const JsonNode refused = node.get("errno");
  const JsonNode value = node.get("value");
  const JsonNode goes_on = node.get("continue");
  if (refused.present() + value.present() + goes_on.present() != 1) {
    node.fail("not one answer", "one of \"errno\", \"value\" and \"continue\"");
    return answer;
  }
  if (refused) {
    const std::string word = refused.string();
    answer.value = errno_by_name(word);
    if (answer.value == 0) refused.fail("unknown errno \"" + word + "\"", "a name such as EPERM");
  } else if (value) {
    answer.how = NotifyAnswer::How::pretend;
    // Less would be an errno: the kernel takes it for the call's return value.
    answer.value = value.signed_integer(0, INT64_MAX);
  } else {
    answer.how = NotifyAnswer::How::proceed;
    if (!goes_on.boolean()) goes_on.fail("\"continue\": false", "true, or another answer");
  }
  return answer;
}

}  // namespace

void read_notify(const JsonNode& node, Policy& policy) {
  if (!node) return;
  const auto document = JsonDocument::within(node);
  if (!document) return;
  const auto notified = policy.seccomp ? policy.seccomp->notified() : std::vector<std::string>{};
  if (notified.empty()) {
    node.fail("answers, and no call is notified",
              "a rule with SCMP_ACT_NOTIFY in /linux/seccomp/syscalls");
    return;
  }
  if (!policy.seccomp->listener_path.empty()) {
    node.fail("answers, and a listener that gives them",
              "the annotation or /linux/seccomp/listenerPath, not both");
    return;
  }
  // The pointer goes on inside the text.
  const JsonNode top = document->root(node.context(), node.pointer());
  top.only({"answers"});
  const JsonNode list = top.require("answers");
  std::set<std::string> answered;
  for (const auto& item : list.items()) {
    NotifyAnswer answer = read_answer(item);
    for (const auto& name : item.get("names").items()) {
      const std::string call = name.string();
      if (std::find(notified.begin(), notified.end(), call) == notified.end()) {
        fail_unknown(name, "notified call", call, notified);
      } else if (!answered.insert(call).second) {
        name.fail("call occurs twice: " + call, "one answer for each call");
      }
    }
    policy.seccomp->answers.push_back(std::move(answer));
  }
  for (const auto& name : notified) {
    if (answered.count(name) == 0) list.fail("no answer for " + name, "one for each notified call");
  }
}

std::string write_notify(const std::vector<NotifyAnswer>& answers) {
  Json json = Json::object();
  for (const NotifyAnswer& answer : answers) {
    Json item = {{"names", answer.names}};
    switch (answer.how) {
      case NotifyAnswer::How::refuse: {
        const char* name = strerrorname_np(static_cast<int>(answer.value));
        item["errno"] = name != nullptr ? name : "";
        break;
      }
      case NotifyAnswer::How::pretend:
        item["value"] = answer.value;
        break;
      case NotifyAnswer::How::proceed:
        item["continue"] = true;
        break;
    }
    json["answers"].push_back(std::move(item));
  }
  return json.dump();
}

void check_listener(const JsonNode& node, const Policy& policy) {
  if (!policy.seccomp || node.context().failed()) return;
  const Seccomp& seccomp = *policy.seccomp;
  const JsonNode path = node.get("listenerPath");
  const auto notified = seccomp.notified();
  if (notified.empty()) {
    const JsonNode flags = node.get("flags");
    for (const auto& flag : flags.items()) {
      if (flag.string() != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") continue;
      flag.fail("a flag for notified calls, and there is none",
                "a rule with SCMP_ACT_NOTIFY, or no such flag");
    }
    if (!path.empty_value()) path.warn("a listener, and no call is notified");
  } else if (!path.empty_value()) {
    (void)path.absolute_path();
  } else if (seccomp.answers.empty()) {
    node.get("syscalls")
        .fail("SCMP_ACT_NOTIFY for " + notified.front() + ", and nobody answers",
              "a \"listenerPath\", or an annotation ringfence.seccomp.notify");
  }
}

}  // namespace ringfence
