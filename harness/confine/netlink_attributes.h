#pragma once
// Walking the attributes of a netlink message; libmnl's own loops are C alone. Internal to confine/
// and its users that read messages.
#include <libmnl/libmnl.h>

#include <cstddef>

namespace ringfence {

namespace detail {
template <typename Tell>
void each_attribute(const nlattr* attribute, const char* end, Tell&& tell) {
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    tell(attribute);
    attribute = mnl_attr_next(attribute);
  }
}
}  // namespace detail

// Behind a header of the family's own of this size.
template <typename Tell>
void for_each_attribute(const nlmsghdr& message, size_t header, Tell&& tell) {
  detail::each_attribute(static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, header)),
                         static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message)), tell);
}

template <typename Tell>
void for_each_nested(const nlattr* nest, Tell&& tell) {
  const auto* payload = static_cast<const char*>(mnl_attr_get_payload(nest));
  detail::each_attribute(reinterpret_cast<const nlattr*>(payload),
                         payload + mnl_attr_get_payload_len(nest), tell);
}

}  // namespace ringfence
