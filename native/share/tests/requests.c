/* What a guest's kernel asks for, and what a hostile one asks for: no way out of the directory, no node or handle that is
 * not its own, nothing that stays. */
#include "served.h"

#include <errno.h>
#include <sys/stat.h>

static void files_are_made_read_and_found_again(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "file", &handle);

	assert(write_at(node, handle, 0, "hello", 0) == 0);
	assert(read_at(node, handle, 1, 100) == 4);
	assert(memcmp(answered + sizeof(struct fuse_out_header), "ello", 4) == 0);
	assert(look_up(FUSE_ROOT_ID, "file") == node);
	assert(access(host("file"), F_OK) == 0);
}

static void names_that_lead_elsewhere_are_refused(void)
{
	static const char *const NAMES[] = {"", ".", "..", "a/b", "/etc", "../secret", "root/"};
	struct fuse_mkdir_in in = {.mode = 0755};

	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
		assert(ask_name(FUSE_LOOKUP, FUSE_ROOT_ID, NAMES[i]) == EINVAL);
		assert(ask_name(FUSE_UNLINK, FUSE_ROOT_ID, NAMES[i]) == EINVAL);
		assert(ask(FUSE_MKDIR, FUSE_ROOT_ID, &in, sizeof in, NAMES[i], strlen(NAMES[i]) + 1) == EINVAL);
		assert(rename_at(FUSE_ROOT_ID, "file", FUSE_ROOT_ID, NAMES[i], 0) == EINVAL);
		assert(rename_at(FUSE_ROOT_ID, NAMES[i], FUSE_ROOT_ID, "file", 0) == EINVAL);
	}
	/* Without an end, or longer than any path. */
	assert(ask(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, "file", 4) == EINVAL);
	static char longest[PATH_MAX + 1];
	memset(longest, 'a', PATH_MAX);
	assert(ask_name(FUSE_LOOKUP, FUSE_ROOT_ID, longest) == EINVAL);
	longest[256] = 0;
	assert(ask_name(FUSE_LOOKUP, FUSE_ROOT_ID, longest) == ENAMETOOLONG);
	longest[255] = 0;
	make_directory(FUSE_ROOT_ID, longest);
}

static void links_are_never_followed(void)
{
	struct fuse_open_in open_in = {.flags = O_RDONLY};
	uint64_t link;

	assert(symlink("../secret", host("out")) == 0 && symlink("..", host("up")) == 0);
	link = look_up(FUSE_ROOT_ID, "out");
	assert(S_ISLNK(ANSWER(struct fuse_entry_out).attr.mode));
	assert(ask(FUSE_OPEN, link, &open_in, sizeof open_in, NULL, 0) == ESTALE);
	assert(ask_name(FUSE_LOOKUP, look_up(FUSE_ROOT_ID, "up"), "secret") != 0);
	/* A directory that becomes a link after it was found. */
	uint64_t directory = make_directory(FUSE_ROOT_ID, "swapped");
	assert(rmdir(host("swapped")) == 0 && symlink("..", host("swapped")) == 0);
	assert(ask_name(FUSE_LOOKUP, directory, "secret") != 0);
	assert(get_attributes(directory) == ESTALE);
	struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_SIZE, .mode = 0600};
	assert(ask(FUSE_SETATTR, link, &set, sizeof set, NULL, 0) != 0);
}

static void a_file_in_the_place_of_another_is_not_that_file(void)
{
	struct fuse_open_in in = {.flags = O_WRONLY | O_TRUNC};
	uint64_t handle, node = create(FUSE_ROOT_ID, "place", &handle);
	struct stat found;

	assert(write_at(node, handle, 0, "first", 0) == 0);
	int other = open(host("other"), O_CREAT | O_WRONLY, 0644);
	assert(write(other, "second", 6) == 6);
	close(other);
	assert(rename(host("other"), host("place")) == 0);
	assert(ask(FUSE_OPEN, node, &in, sizeof in, NULL, 0) == ESTALE);
	assert(stat(host("place"), &found) == 0 && found.st_size == 6);
	/* What is open stays the same file, also where it has no name. */
	assert(get_attributes(node) == 0 && ANSWER(struct fuse_attr_out).attr.size == 5);
	assert(read_at(node, handle, 0, 100) == 5);
}

static void handles_belong_to_their_node_and_server(void)
{
	uint64_t handle, second, node = create(FUSE_ROOT_ID, "mine", &handle), other = create(FUSE_ROOT_ID, "yours", &second);
	struct fuse_release_in release = {.fh = handle};

	assert(read_at(other, handle, 0, 1) == -EBADF);
	assert(read_at(node, handle ^ (UINT64_C(1) << 40), 0, 1) == -EBADF);
	assert(read_at(node, handle + 1000, 0, 1) == -EBADF);
	assert(ask(FUSE_RELEASE, other, &release, sizeof release, NULL, 0) == 0);
	assert(read_at(node, handle, 0, 1) == 0);
	assert(ask(FUSE_RELEASE, node, &release, sizeof release, NULL, 0) == 0);
	assert(ask(FUSE_RELEASE, node, &release, sizeof release, NULL, 0) == 0);
	assert(read_at(node, handle, 0, 1) == -EBADF);
}

static void sizes_and_offsets_that_no_file_has_are_refused(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "sized", &handle);
	struct fuse_read_in read_in = {.fh = handle, .size = DATA_MOST + 1};
	struct fuse_write_in write_in = {.fh = handle, .size = 100};
	struct fuse_fallocate_in allocate = {.fh = handle, .offset = INT64_MAX, .length = 2};

	assert(ask(FUSE_READ, node, &read_in, sizeof read_in, NULL, 0) == EINVAL);
	assert(read_at(node, handle, UINT64_MAX, 1) == -EINVAL);
	assert(ask(FUSE_WRITE, node, &write_in, sizeof write_in, "short", 5) == EINVAL);
	assert(ask(FUSE_FALLOCATE, node, &allocate, sizeof allocate, NULL, 0) == EINVAL);
	assert(ask(FUSE_READ, node, &read_in, 4, NULL, 0) == EINVAL);
	assert(ask(9999, node, NULL, 0, NULL, 0) == ENOSYS);
	assert(ask(FUSE_FLUSH, node, NULL, 0, NULL, 0) == ENOSYS);
}

static void nodes_are_forgotten_and_no_more_than_that(void)
{
	size_t before = served.nodes.count;
	uint64_t directory = make_directory(FUSE_ROOT_ID, "parent"), child = make_directory(directory, "child");

	forget(directory, UINT64_MAX);
	assert(look_up(directory, "child") == child); /* the child holds it */
	assert(rename_at(directory, "child", FUSE_ROOT_ID, "child", 0) == 0);
	assert(ask_name(FUSE_LOOKUP, directory, "child") == ESTALE); /* nothing did any more */
	forget(child, 2);
	forget(child, 1);
	forget(FUSE_ROOT_ID, 100);
	forget(12345, 1);
	assert(served.nodes.count == before);
	assert(get_attributes(FUSE_ROOT_ID) == 0);
}

/* Both parents are held by what moves between them alone. */
static void entries_change_places(void)
{
	uint64_t one = make_directory(FUSE_ROOT_ID, "one"), two = make_directory(FUSE_ROOT_ID, "two");
	uint64_t first = make_directory(one, "first"), second = make_directory(two, "second");

	forget(one, 1);
	forget(two, 1);
	assert(rename_at(one, "first", two, "second", 2 /* RENAME_EXCHANGE */) == 0);
	assert(get_attributes(first) == 0 && get_attributes(second) == 0);
	assert(rename_at(two, "second", FUSE_ROOT_ID, "moved", 0) == 0);
	assert(get_attributes(first) == 0 && look_up(FUSE_ROOT_ID, "moved") == first);
	assert(rename_at(FUSE_ROOT_ID, "moved", FUSE_ROOT_ID, "one", 1 /* RENAME_NOREPLACE */) == EEXIST);
	assert(rename_at(FUSE_ROOT_ID, "moved", FUSE_ROOT_ID, "other", 4 /* RENAME_WHITEOUT */) == EINVAL);
}

static void names_of_one_file_are_one_node(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "linked", &handle);
	struct fuse_link_in in = {.oldnodeid = node};

	assert(ask(FUSE_LINK, FUSE_ROOT_ID, &in, sizeof in, "again", 6) == 0);
	assert(ANSWER(struct fuse_entry_out).nodeid == node && ANSWER(struct fuse_entry_out).attr.nlink == 2);
	assert(ask_name(FUSE_UNLINK, FUSE_ROOT_ID, "linked") == 0);
	assert(look_up(FUSE_ROOT_ID, "again") == node);
	assert(rename_at(FUSE_ROOT_ID, "again", FUSE_ROOT_ID, "again", 0) == 0);
	assert(get_attributes(node) == 0);
}

/* What of it is left can be found again, and what is open or a directory is never given up. */
static void more_names_than_there_is_room_for_are_found_all_the_same(void)
{
	enum { FILES = 500 };
	uint64_t directory = make_directory(FUSE_ROOT_ID, "crowd"), open_handle, open_node, nodes[FILES];
	char name[32];
	int stale = 0;

	open_node = create(directory, "open", &open_handle);
	served.nodes.most = served.nodes.count + 20;
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "crowd/file-%d", i);
		close(open(host(name), O_CREAT | O_WRONLY, 0644));
		nodes[i] = look_up(directory, name + 6);
		assert(get_attributes(nodes[i]) == 0);
		assert(served.nodes.count <= served.nodes.most);
	}
	for (int i = 0; i < FILES; i++)
		if (get_attributes(nodes[i]) == ESTALE) {
			stale++;
			forget(nodes[i], 1);
			snprintf(name, sizeof name, "file-%d", i);
			assert(get_attributes(look_up(directory, name)) == 0);
		}
	assert(stale > 0);
	assert(write_at(open_node, open_handle, 0, "here", 0) == 0);
	/* Directories alone can fill it. */
	int failure = 0, made = 0;
	for (; made < 500 && !failure; made++) {
		snprintf(name, sizeof name, "crowd/directory-%d", made);
		assert(mkdir(host(name), 0755) == 0);
		failure = ask_name(FUSE_LOOKUP, directory, name + 6);
	}
	assert(failure == ENFILE && made > 10);
	assert(look_up(directory, "directory-0") && get_attributes(FUSE_ROOT_ID) == 0);
	served.nodes.most = NODES_MOST;
	assert(look_up(directory, name + 6));
}

/* The guest took away the name, and the file stays for whoever has it open. */
static void what_is_open_without_a_name_can_be_opened_again(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "nameless", &handle), again;
	struct fuse_open_in in = {.flags = O_WRONLY};
	struct fuse_setattr_in set = {.valid = FATTR_SIZE, .size = 2};
	struct {
		uint32_t size, flags;
	} attribute = {.size = 1};

	assert(ask_name(FUSE_UNLINK, FUSE_ROOT_ID, "nameless") == 0);
	int other = open(host("nameless"), O_CREAT | O_WRONLY, 0644); /* another file under its name */
	assert(write(other, "other", 5) == 5 && close(other) == 0);
	assert(ask(FUSE_OPEN, node, &in, sizeof in, NULL, 0) == 0);
	again = ANSWER(struct fuse_open_out).fh;
	assert(write_at(node, again, 0, "again", 0) == 0);
	assert(read_at(node, handle, 0, 100) == 5);
	assert(ask(FUSE_SETATTR, node, &set, sizeof set, NULL, 0) == 0);
	assert(read_at(node, handle, 0, 100) == 2);
	int attributes = ask(FUSE_SETXATTR, node, &attribute, sizeof attribute, "user.a\0x", 8);
	assert(attributes == 0 || attributes == EOPNOTSUPP);
	struct stat found;
	assert(stat(host("nameless"), &found) == 0 && found.st_size == 5);
	/* Nobody has it open any more. */
	struct fuse_release_in release = {.fh = handle};
	assert(ask(FUSE_RELEASE, node, &release, sizeof release, NULL, 0) == 0);
	release.fh = again;
	assert(ask(FUSE_RELEASE, node, &release, sizeof release, NULL, 0) == 0);
	assert(ask(FUSE_OPEN, node, &in, sizeof in, NULL, 0) == ESTALE);
}

static void files_on_other_devices_have_other_inode_numbers(void)
{
	struct statx found = {.stx_ino = 12, .stx_dev_major = (uint32_t)(served.device >> 32), .stx_dev_minor = (uint32_t)served.device};
	struct fuse_attr here, there;

	fill_attributes(&served, &found, &here);
	found.stx_dev_minor++;
	fill_attributes(&served, &found, &there);
	assert(here.ino == 12 && there.ino != 12);
}

/* Where a file system does not say when a file was born, an inode comes again as something else. */
static void an_inode_of_another_kind_is_another_file(void)
{
	struct statx file = {.stx_ino = 12, .stx_mode = S_IFREG}, directory = {.stx_ino = 12, .stx_mode = S_IFDIR};
	struct identity one = identity_of(&file), other = identity_of(&directory);

	assert(memcmp(&one, &other, sizeof one) != 0);
}

static void bits_that_lend_rights_are_not_set(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "program", &handle);
	struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = S_ISUID | S_ISGID | 0755};
	struct fuse_mknod_in pipe = {.mode = S_IFIFO | 0600};
	struct fuse_setattr_in give = {.valid = FATTR_UID, .uid = 12};
	struct stat found;

	assert(ask(FUSE_SETATTR, node, &set, sizeof set, NULL, 0) == 0);
	assert(stat(host("program"), &found) == 0 && (found.st_mode & 07777) == 0755);
	uint64_t directory = make_directory(FUSE_ROOT_ID, "of-a-group");
	set.mode = S_ISGID | S_ISVTX | 0755;
	assert(ask(FUSE_SETATTR, directory, &set, sizeof set, NULL, 0) == 0);
	assert(stat(host("of-a-group"), &found) == 0 && (found.st_mode & 07777) == 03755);
	assert(ask(FUSE_MKNOD, FUSE_ROOT_ID, &pipe, sizeof pipe, "pipe", 5) == EPERM);
	assert(ask(FUSE_SETATTR, node, &give, sizeof give, NULL, 0) == EPERM);
	give.uid = served.guest_user;
	assert(ask(FUSE_SETATTR, node, &give, sizeof give, NULL, 0) == 0);
}

static void pipes_are_not_opened(void)
{
	struct fuse_open_in in = {.flags = O_RDONLY};

	assert(mkfifo(host("fifo"), 0600) == 0);
	assert(ask(FUSE_OPEN, look_up(FUSE_ROOT_ID, "fifo"), &in, sizeof in, NULL, 0) == EPERM);
}

static void what_appends_goes_to_the_end(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "log", &handle);
	struct stat found;

	assert(write_at(node, handle, 0, "one", O_APPEND) == 0);
	int other = open(host("log"), O_WRONLY | O_APPEND);
	assert(write(other, "host", 4) == 4);
	close(other);
	assert(write_at(node, handle, 3, "two", O_APPEND) == 0);
	assert(stat(host("log"), &found) == 0 && found.st_size == 10);
}

/* Every entry once, however little fits at a time. */
static void directories_are_read_in_pieces(void)
{
	uint64_t directory = make_directory(FUSE_ROOT_ID, "full"), handle, offset = 0;
	struct fuse_open_in open_in = {0};
	char name[32];
	size_t found = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "full/entry-%d", i);
		close(open(host(name), O_CREAT | O_WRONLY, 0644));
	}
	assert(ask(FUSE_OPENDIR, directory, &open_in, sizeof open_in, NULL, 0) == 0);
	handle = ANSWER(struct fuse_open_out).fh;
	for (;;) {
		struct fuse_read_in in = {.fh = handle, .offset = offset, .size = 1000};

		assert(ask(FUSE_READDIRPLUS, directory, &in, sizeof in, NULL, 0) == 0);
		if (answered_length == sizeof(struct fuse_out_header))
			break;
		assert(answered_length <= sizeof(struct fuse_out_header) + 1000);
		for (size_t at = sizeof(struct fuse_out_header); at < answered_length; found++) {
			struct fuse_direntplus entry;

			memcpy(&entry, answered + at, FUSE_NAME_OFFSET_DIRENTPLUS);
			offset = entry.dirent.off;
			at += FUSE_NAME_OFFSET_DIRENTPLUS + FUSE_DIRENT_ALIGN(entry.dirent.namelen);
		}
	}
	assert(found == 302);
}

static void nothing_is_changed_where_that_is_not_allowed(void)
{
	struct fuse_open_in in = {.flags = O_RDWR};
	struct fuse_create_in create_in = {.flags = O_RDWR, .mode = 0644};
	struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0600};

	close(open(host("kept"), O_CREAT | O_WRONLY, 0644));
	uint64_t node = look_up(FUSE_ROOT_ID, "kept");
	assert(ask(FUSE_OPEN, node, &in, sizeof in, NULL, 0) == EROFS);
	in.flags = O_RDONLY | O_TRUNC;
	assert(ask(FUSE_OPEN, node, &in, sizeof in, NULL, 0) == EROFS);
	assert(ask(FUSE_CREATE, FUSE_ROOT_ID, &create_in, sizeof create_in, "new", 4) == EROFS);
	assert(ask(FUSE_SETATTR, node, &set, sizeof set, NULL, 0) == EROFS);
	assert(ask_name(FUSE_UNLINK, FUSE_ROOT_ID, "kept") == EROFS);
	assert(rename_at(FUSE_ROOT_ID, "kept", FUSE_ROOT_ID, "lost", 0) == EROFS);
	in.flags = O_RDONLY;
	assert(ask(FUSE_OPEN, node, &in, sizeof in, NULL, 0) == 0);
}

static int ask_attribute(uint64_t node, const char *name)
{
	struct fuse_getxattr_in in = {.size = 100};

	return ask(FUSE_GETXATTR, node, &in, sizeof in, name, strlen(name) + 1);
}

/* Who lists a directory asks for these of each file until it hears that there are none. */
static void attributes_that_are_not_for_users_are_not_supported(void)
{
	uint64_t handle, node = create(FUSE_ROOT_ID, "attributed", &handle);

	assert(ask_attribute(node, "system.posix_acl_access") == EOPNOTSUPP);
	assert(ask_attribute(node, "security.selinux") == EOPNOTSUPP);
	int failure = ask_attribute(node, "user.none");
	assert(failure == ENODATA || failure == EOPNOTSUPP); /* as the file system has it */
}

static void one_file_is_a_mount_too(void)
{
	struct mount file;
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%.4000s/secret", served_path);
	assert(mount_open(&file, path, false) && nodes_open(&file.nodes, 10));
	handles_open(&file.handles, 1);
	struct mount directory = served;
	served = file;
	assert(get_attributes(FUSE_ROOT_ID) == 0 && S_ISREG(ANSWER(struct fuse_attr_out).attr.mode));
	assert(ask_name(FUSE_LOOKUP, FUSE_ROOT_ID, "root") == ENOTDIR);
	struct fuse_open_in in = {.flags = O_RDWR};
	assert(ask(FUSE_OPEN, FUSE_ROOT_ID, &in, sizeof in, NULL, 0) == 0);
	mount_close(&served);
	served = directory;
}

int main(void)
{
	umask(0);
	serve(false);
	files_are_made_read_and_found_again();
	names_that_lead_elsewhere_are_refused();
	links_are_never_followed();
	a_file_in_the_place_of_another_is_not_that_file();
	handles_belong_to_their_node_and_server();
	sizes_and_offsets_that_no_file_has_are_refused();
	nodes_are_forgotten_and_no_more_than_that();
	entries_change_places();
	names_of_one_file_are_one_node();
	bits_that_lend_rights_are_not_set();
	pipes_are_not_opened();
	what_appends_goes_to_the_end();
	directories_are_read_in_pieces();
	attributes_that_are_not_for_users_are_not_supported();
	one_file_is_a_mount_too();
	what_is_open_without_a_name_can_be_opened_again();
	files_on_other_devices_have_other_inode_numbers();
	an_inode_of_another_kind_is_another_file();
	more_names_than_there_is_room_for_are_found_all_the_same();
	serve_no_more();
	serve(true);
	nothing_is_changed_where_that_is_not_allowed();
	serve_no_more();
	return 0;
}
