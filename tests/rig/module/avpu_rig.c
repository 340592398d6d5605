// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The encoder's driver and the reserved memory's driver of a camera, with a program as the hardware.
 *
 * /dev/avpu and /dev/rmem have the interface and the rules of the camera's kernel. Behind them:
 *
 *   /dev/avpu-model  A read gives the next access to a register; a write answers it, or raises the interrupt. One
 *                    access is on the way at a time and its caller waits for the answer, as for a bus.
 *   /dev/avpu-bus    Reserved memory as the hardware reaches it: the position is the physical address.
 *
 * What the camera's kernel does not survive ends the calling process here, with a line in the kernel's log that starts
 * with "avpu_rig: stops a kernel". Opens that were refused are counted: each leaves clocks on in the camera's driver.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kfifo.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

struct avpu_reg {
	u32 id;
	u32 value;
};

struct cache_range {
	u32 address;
	u32 len;
	u32 direction;
};

#define AVPU_UNBLOCK _IO('q', 1)
#define AVPU_WRITE_REG _IOWR('q', 10, struct avpu_reg)
#define AVPU_READ_REG _IOWR('q', 11, struct avpu_reg)
#define AVPU_WAIT_IRQ _IOWR('q', 12, int)
#define AVPU_FLUSH_CACHE _IOWR('q', 14, int)
#define RMEM_FLUSH_CACHE 0xc00c7200

#define REG_FIRST 0x8000
#define REG_LAST 0xffffc
#define IRQ_MASK 0x8014
#define IRQ_PENDING 0x8018
#define IRQ_LINES 20

/* To and from the program that is the hardware. */
struct message {
	u32 kind;
	u32 sequence;
	u32 id;
	u32 value;
};

enum { MESSAGE_READ = 1, MESSAGE_WRITE = 2, MESSAGE_CLOSED = 3, MESSAGE_ANSWER = 4, MESSAGE_INTERRUPT = 5 };

static unsigned long base;
static unsigned long size;
static unsigned int refused_opens;
static unsigned int cache_operations;
module_param(base, ulong, 0444);
MODULE_PARM_DESC(base, "first physical address of the reserved memory");
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "length of the reserved memory in bytes");
module_param(refused_opens, uint, 0444);
module_param(cache_operations, uint, 0444);

/* ---- The bus: one access to a register at a time, answered by a program. ---- */

static DEFINE_MUTEX(bus_lock);
static DEFINE_SPINLOCK(message_lock);
static DECLARE_WAIT_QUEUE_HEAD(model_wait);
static DECLARE_COMPLETION(answered);
static struct message asked;
static bool asked_new;
static u32 answer;
static bool model_there;
static void *memory;

static int bus(u32 kind, u32 id, u32 *value)
{
	static u32 sequence;
	int error = 0;

	mutex_lock(&bus_lock);
	spin_lock(&message_lock);
	if (!model_there) {
		error = -EIO;
	} else {
		reinit_completion(&answered);
		asked = (struct message){ kind, ++sequence, id, *value };
		asked_new = true;
	}
	spin_unlock(&message_lock);
	if (!error) {
		wake_up_interruptible(&model_wait);
		/* A killed caller gives up; the answer finds another sequence number. */
		error = wait_for_completion_killable(&answered);
		spin_lock(&message_lock);
		if (!error && !model_there)
			error = -EIO;
		asked_new = false;
		asked.sequence = 0;
		*value = answer;
		spin_unlock(&message_lock);
	}
	mutex_unlock(&bus_lock);
	return error;
}

/* ---- /dev/avpu ---- */

struct channel {
	bool unblocked;
	atomic_t waiters;
};

static DEFINE_MUTEX(open_lock);
static bool is_open;
static DEFINE_SPINLOCK(queue_lock);
static DEFINE_KFIFO(queue, u32, 256);
static DECLARE_WAIT_QUEUE_HEAD(irq_wait);

/* The handler, in the context of whoever raised the interrupt. */
static void handle_interrupt(void)
{
	static DEFINE_MUTEX(handler_lock);
	u32 mask = 0, pending = 0, flushed = 0, active, line;

	mutex_lock(&handler_lock);
	if (bus(MESSAGE_READ, IRQ_MASK, &mask) || bus(MESSAGE_READ, IRQ_PENDING, &pending))
		goto out;
	active = pending & mask;
	if (!active)
		goto out;
	/* Acknowledges everything that is pending, masked or not. */
	if (bus(MESSAGE_WRITE, IRQ_PENDING, &pending) || bus(MESSAGE_READ, IRQ_PENDING, &flushed))
		goto out;
	spin_lock(&queue_lock);
	for (line = 0; line < IRQ_LINES; line++)
		if (active & BIT(line) && !kfifo_put(&queue, line))
			pr_err("avpu_rig: an interrupt was lost: nobody took the ones before\n");
	spin_unlock(&queue_lock);
	wake_up_interruptible(&irq_wait);
out:
	mutex_unlock(&handler_lock);
}

static int avpu_open(struct inode *inode, struct file *file)
{
	struct channel *channel = kzalloc(sizeof(*channel), GFP_KERNEL);
	int error = 0;

	if (!channel)
		return -ENOMEM;
	mutex_lock(&open_lock);
	if (is_open) {
		refused_opens++;
		error = -ENODEV;
	} else {
		is_open = true;
		spin_lock(&queue_lock);
		kfifo_reset(&queue);
		spin_unlock(&queue_lock);
		file->private_data = channel;
	}
	mutex_unlock(&open_lock);
	if (error)
		kfree(channel);
	return error;
}

static int avpu_release(struct inode *inode, struct file *file)
{
	u32 nothing = 0;

	mutex_lock(&open_lock);
	kfree(file->private_data);
	is_open = false;
	mutex_unlock(&open_lock);
	/* The core goes on with whatever it does; the program behind it is only told. */
	bus(MESSAGE_CLOSED, 0, &nothing);
	return 0;
}

static long access_register(u32 kind, struct avpu_reg __user *argument)
{
	struct avpu_reg reg;
	int error;

	if (copy_from_user(&reg, argument, sizeof(reg)))
		return -EFAULT;
	if (reg.id % 4 || reg.id < REG_FIRST || reg.id > REG_LAST)
		return -EINVAL;
	error = bus(kind, reg.id, &reg.value);
	if (error)
		return error;
	return copy_to_user(argument, &reg, sizeof(reg)) ? -EFAULT : 0;
}

static bool take_interrupt(u32 *line)
{
	bool taken;

	spin_lock(&queue_lock);
	taken = kfifo_get(&queue, line);
	spin_unlock(&queue_lock);
	return taken;
}

static int oops(const char *what)
{
	pr_err("avpu_rig: stops a kernel: %s, by %s\n", what, current->comm);
	send_sig(SIGKILL, current, 1);
	return -EFAULT;
}

static long wait_interrupt(struct channel *channel, u32 __user *argument)
{
	u32 line = 0;
	bool taken = false;
	int error;

	/* The camera's driver takes an entry from the list for each waiter that it wakes, also from an empty one. */
	if (atomic_inc_return(&channel->waiters) > 1) {
		atomic_dec(&channel->waiters);
		return oops("a second waiter for interrupts");
	}
	/* Unblocking counts before anything that is queued, now and always. */
	error = wait_event_interruptible(irq_wait,
					 READ_ONCE(channel->unblocked) || (taken = take_interrupt(&line)));
	atomic_dec(&channel->waiters);
	if (error)
		return error;
	if (!taken)
		return -EINTR;
	return put_user(line, argument);
}

static const struct file_operations rmem_operations;

static long flush_cache(struct cache_range __user *argument)
{
	struct cache_range range;
	struct vm_area_struct *area;
	bool mapped;

	if (copy_from_user(&range, argument, sizeof(range)))
		return -EFAULT;
	if (!range.len)
		return oops("a cache operation on nothing");
	if (range.direction > 2)
		return oops("a cache operation without a direction");
	mmap_read_lock(current->mm);
	area = find_vma(current->mm, range.address);
	mapped = area && area->vm_start <= range.address && range.len <= area->vm_end - range.address &&
		 area->vm_file && area->vm_file->f_op == &rmem_operations;
	mmap_read_unlock(current->mm);
	if (!mapped)
		return oops("a cache operation on memory that is not mapped through the cache");
	/* The emulated processor has no cache to operate on. */
	cache_operations++;
	return 0;
}

static long avpu_ioctl(struct file *file, unsigned int request, unsigned long argument)
{
	struct channel *channel = file->private_data;

	switch (request) {
	case AVPU_READ_REG:
		return access_register(MESSAGE_READ, (void __user *)argument);
	case AVPU_WRITE_REG:
		return access_register(MESSAGE_WRITE, (void __user *)argument);
	case AVPU_WAIT_IRQ:
		return wait_interrupt(channel, (void __user *)argument);
	case AVPU_UNBLOCK:
		WRITE_ONCE(channel->unblocked, true);
		wake_up_interruptible(&irq_wait);
		return 0;
	case AVPU_FLUSH_CACHE:
		return flush_cache((void __user *)argument);
	default:
		return -EINVAL;
	}
}

static int avpu_mmap(struct file *file, struct vm_area_struct *area)
{
	/* There are no buffers of the driver's own to map. */
	return -EINVAL;
}

static const struct file_operations avpu_operations = {
	.owner = THIS_MODULE,
	.open = avpu_open,
	.release = avpu_release,
	.unlocked_ioctl = avpu_ioctl,
	.mmap = avpu_mmap,
};

/* ---- /dev/rmem ---- */

static bool is_reserved(u64 address, u64 len)
{
	return address >= base && len <= size && address - base <= size - len;
}

/* Through the cache. Stricter than the camera's, which maps any page: what is not reserved is nobody's to map. */
static int rmem_mmap(struct file *file, struct vm_area_struct *area)
{
	unsigned long len = area->vm_end - area->vm_start;

	if (!is_reserved((u64)area->vm_pgoff << PAGE_SHIFT, len)) {
		pr_err("avpu_rig: strayed: %s maps %#lx bytes at page %#lx\n", current->comm, len, area->vm_pgoff);
		return -EINVAL;
	}
	return remap_pfn_range(area, area->vm_start, area->vm_pgoff, len, area->vm_page_prot) ? -EAGAIN : 0;
}

static long rmem_ioctl(struct file *file, unsigned int request, unsigned long argument)
{
	return request == RMEM_FLUSH_CACHE ? flush_cache((void __user *)argument) : -EINVAL;
}

static const struct file_operations rmem_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = rmem_ioctl,
	.mmap = rmem_mmap,
};

/* ---- /dev/avpu-model and /dev/avpu-bus ---- */

static int model_open(struct inode *inode, struct file *file)
{
	int error = 0;

	spin_lock(&message_lock);
	if (model_there)
		error = -EBUSY;
	model_there = true;
	spin_unlock(&message_lock);
	return error ? error : nonseekable_open(inode, file);
}

static int model_release(struct inode *inode, struct file *file)
{
	spin_lock(&message_lock);
	model_there = false;
	spin_unlock(&message_lock);
	complete(&answered);
	return 0;
}

static bool take_message(struct message *message)
{
	bool taken;

	spin_lock(&message_lock);
	taken = asked_new;
	asked_new = false;
	*message = asked;
	spin_unlock(&message_lock);
	return taken;
}

static ssize_t model_read(struct file *file, char __user *buffer, size_t len, loff_t *position)
{
	struct message message;
	int error;

	if (len != sizeof(message))
		return -EINVAL;
	error = wait_event_interruptible(model_wait, take_message(&message));
	if (error)
		return error;
	return copy_to_user(buffer, &message, sizeof(message)) ? -EFAULT : (ssize_t)sizeof(message);
}

static ssize_t model_write(struct file *file, const char __user *buffer, size_t len, loff_t *position)
{
	struct message message;

	if (len != sizeof(message))
		return -EINVAL;
	if (copy_from_user(&message, buffer, sizeof(message)))
		return -EFAULT;
	switch (message.kind) {
	case MESSAGE_ANSWER:
		spin_lock(&message_lock);
		if (message.sequence && message.sequence == asked.sequence) {
			answer = message.value;
			complete(&answered);
		}
		spin_unlock(&message_lock);
		break;
	case MESSAGE_INTERRUPT:
		handle_interrupt();
		break;
	default:
		return -EINVAL;
	}
	return sizeof(message);
}

static const struct file_operations model_operations = {
	.owner = THIS_MODULE,
	.open = model_open,
	.release = model_release,
	.read = model_read,
	.write = model_write,
};

static ssize_t bus_read(struct file *file, char __user *buffer, size_t len, loff_t *position)
{
	if (!is_reserved(*position, len))
		return -EFAULT;
	if (copy_to_user(buffer, memory + (*position - base), len))
		return -EFAULT;
	*position += len;
	return len;
}

static ssize_t bus_write(struct file *file, const char __user *buffer, size_t len, loff_t *position)
{
	if (!is_reserved(*position, len))
		return -EFAULT;
	if (copy_from_user(memory + (*position - base), buffer, len))
		return -EFAULT;
	*position += len;
	return len;
}

static const struct file_operations bus_operations = {
	.owner = THIS_MODULE,
	.read = bus_read,
	.write = bus_write,
	.llseek = default_llseek,
};

static struct miscdevice devices[] = {
	{ .minor = MISC_DYNAMIC_MINOR, .name = "avpu", .fops = &avpu_operations, .mode = 0600 },
	{ .minor = MISC_DYNAMIC_MINOR, .name = "rmem", .fops = &rmem_operations, .mode = 0600 },
	{ .minor = MISC_DYNAMIC_MINOR, .name = "avpu-model", .fops = &model_operations, .mode = 0600 },
	{ .minor = MISC_DYNAMIC_MINOR, .name = "avpu-bus", .fops = &bus_operations, .mode = 0600 },
};

static int __init rig_init(void)
{
	size_t index;
	int error;

	if (!base || !size || base % PAGE_SIZE || size % PAGE_SIZE) {
		pr_err("avpu_rig: expected base= and size= in whole pages\n");
		return -EINVAL;
	}
	memory = memremap(base, size, MEMREMAP_WB);
	if (!memory)
		return -ENOMEM;
	for (index = 0; index < ARRAY_SIZE(devices); index++) {
		error = misc_register(&devices[index]);
		if (error)
			goto undo;
	}
	return 0;
undo:
	while (index--)
		misc_deregister(&devices[index]);
	memunmap(memory);
	return error;
}

static void __exit rig_exit(void)
{
	size_t index = ARRAY_SIZE(devices);

	while (index--)
		misc_deregister(&devices[index]);
	memunmap(memory);
}

module_init(rig_init);
module_exit(rig_exit);
MODULE_DESCRIPTION("The drivers of a camera's video encoder with a program as the hardware");
MODULE_LICENSE("Dual MIT/GPL");
